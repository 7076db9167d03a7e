# How long a manager's own `run --rm` takes on each runtime, interleaved. This is not a scenario of the tests, but for manual use:
#   lane --runtime orlop=PATH speed
# on a quiet machine, with the release build. The table is in the lane's directory of logs, in speed.txt.
# shellcheck shell=bash disable=SC2154

limits[docker]=900
limits[ctr]=900
rounds=40
runtimes=(orlop crun runc)
export DOCKER_HOST=unix:///run/docker.sock

start() {
	mkdir -p "$state"
	/lane/scripts/inside/image "$state/box.tar"
	cat >"$state/daemon.json" <<-END
		{"runtimes": {"orlop": {"path": "$RUNTIME_PATH"}, "crun": {"path": "/usr/bin/crun"}},
		 "exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2", "shutdown-timeout": 3}
	END
	containerd >/lane/out/containerd.log 2>&1 &
	echo $! >"$state/containerd.pid"
	until_true 30 ctr version
	dockerd --config-file "$state/daemon.json" --containerd /run/containerd/containerd.sock \
		--host "$DOCKER_HOST" --pidfile /run/docker.pid >/lane/out/dockerd.log 2>&1 &
	until_true 40 docker version
	docker load --input "$state/box.tar"
	ctr images import "$state/box.tar"
}
stop() {
	kill "$(</run/docker.pid)"
	until_true 20 test ! -e /run/docker.pid
	kill "$(<"$state/containerd.pid")"
}
# crun caches compiled filters beside the states of its containers.
cleanup() { rm -rf /run/docker/runtime-*/moby/.cache /run/containerd/runc/default/.cache; }
# timed FUNCTION: runs it for each runtime in each round, in a new order each time, and adds a line per runtime to the table.
timed() {
	local round runtime from
	for runtime in "${runtimes[@]}"; do "$1" "$runtime" warm; done
	for round in $(seq "$rounds"); do
		for runtime in $(shuf -e "${runtimes[@]}"); do
			sleep 0.1
			from=$EPOCHREALTIME
			"$1" "$runtime" "$round"
			echo "$runtime $round $from $EPOCHREALTIME" >>"$dir/times"
		done
	done
	awk -v what="$1" -v list="${runtimes[*]}" '
		function median(of, n, i, j, t, v) {
			for (i = 1; i <= n; i++) v[i] = of[i]
			for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
			return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
		}
		{ time[$1, $2] = ($4 - $3) * 1000; if ($2 > rounds) rounds = $2 }
		END {
			count = split(list, names, " ")
			for (k = 1; k <= count; k++) {
				for (r = 1; r <= rounds; r++) { of[r] = time[names[k], r]; ratio[r] = time["orlop", r] / of[r] }
				printf "%s, %s: median %.1f ms, orlop / %s = %.3f (median of %d paired rounds)\n",
					what, names[k], median(of, rounds), names[k], median(ratio, rounds), rounds
			}
		}' "$dir/times" | tee -a /lane/out/speed.txt
}
docker_run() { docker run --rm --network none --runtime "$1" "$image" true; }
ctr_run() {
	local file=$RUNTIME_PATH
	[ "$1" = orlop ] || file=/usr/bin/$1
	ctr run --rm --runc-binary "$file" "$image" "speed-$1-$2" true
}

t_docker() { timed docker_run; }
t_ctr() { timed ctr_run; }
