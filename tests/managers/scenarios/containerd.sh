# containerd through ctr.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container


daemon() {
	containerd --config "$state/config.toml" >>/lane/out/containerd.log 2>&1 9>&- &
	echo $! >"$state/containerd.pid"
	until_true 30 ctr version
}
start() {
	mkdir -p "$state"
	/lane/scripts/inside/image "$state/box.tar"
	cat >"$state/config.toml" <<-'END'
		version = 2
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
		[plugins."io.containerd.internal.v1.opt"]
		  path = "/lane/state/opt"
	END
	daemon
	ctr images import "$state/box.tar"
}
stop() {
	kill "$(<"$state/containerd.pid")"
	until_true 15 test ! -d "/proc/$(<"$state/containerd.pid")"
}
cleanup() {
	local id
	for id in $(ctr containers list -q | grep -- "^$name"); do
		if ctr tasks list -q | grep -Fxq "$id"; then
			ctr tasks kill --all --signal KILL "$id"
			until_true 5 ctr tasks delete --force "$id"
		fi
		ctr containers delete "$id"
	done
}
# run OPTION… IMAGE ID COMMAND…, on top of the runtime under test
run() { ctr run --runc-binary "$RUNTIME_PATH" "$@"; }
pid_of() { ctr tasks list | awk -v id="$1" '$1 == id {print $2}'; }
state_of() { ctr tasks list | awk -v id="$1" '$1 == id {print $3}'; }
is() { [ "$(state_of "$1")" = "$2" ]; }
sleeper() { run -d "$@" "$image" "$name" sleep 300; }

t_as_documented() {
	documented ctr-run >run.sh
	same hello "$(bash run.sh)"
}
t_run() {
	same "hello 1" "$(run --rm "$image" "$name" sh -c 'echo hello $$')"
}
t_exit_code() {
	status 7 run --rm "$image" "$name" sh -c 'exit 7'
	status 137 run --rm "$image" "$name" sh -c 'kill -9 $$; exit 137'
}
t_streams() {
	same "in:text" "$(echo text | run --rm "$image" "$name" sh -c 'read x; echo in:$x; echo to-err >&2' 2>"$dir/err")"
	same to-err "$(<"$dir/err")"
}
t_run_detached() {
	sleeper
	is "$name" RUNNING
	same sleep "$(cat "/proc/$(pid_of "$name")/comm")"
	ctr tasks kill --signal KILL "$name"
	until_true 10 is "$name" STOPPED
	# It prints the code, and succeeds.
	has 137 "$(ctr tasks delete "$name" 2>&1)"
	ctr containers delete "$name"
	status 1 ctr tasks delete "$name"
}
t_errors() {
	status 1 run --rm "$image" "$name" no-such-command
	has 'exec: "no-such-command": executable file not found in $PATH' "$said"
	status 1 run --rm "$image" "$name" /no/such
	has "no such file or directory" "$said"
	status 1 run --rm "$image" "$name" /etc/issue
	has "permission denied" "$said"
}
t_exec() {
	sleeper
	same "hello" "$(ctr tasks exec --exec-id one "$name" echo hello)"
	same "/tmp 1000" "$(ctr tasks exec --exec-id two --cwd /tmp --user 1000 "$name" sh -c 'echo $PWD $(id -u)')"
	status 9 ctr tasks exec --exec-id three "$name" sh -c 'exit 9'
	same text "$(echo text | ctr tasks exec --exec-id four "$name" cat)"
	status 1 ctr tasks exec --exec-id five "$name" no-such-command
	has "executable file not found" "$said"
}
t_exec_detached() {
	sleeper
	ctr tasks exec --exec-id one --detach "$name" sleep 200
	until_true 5 lives "sleep 200"
	same 3 "$(ctr tasks ps "$name" | wc -l)"
	ctr tasks kill --exec-id one --signal KILL "$name"
	until_true 5 sh -c "[ \$(ctr tasks ps $name | wc -l) = 2 ]"
	is "$name" RUNNING
}
t_exec_tty() {
	sleeper
	has /dev/pts/ "$(terminal ctr tasks exec --exec-id one --tty "$name" tty)"
	same "23 45" "$(terminal bash -c "stty rows 23 cols 45; ctr tasks exec --exec-id two --tty $name sh -c 'sleep 0.5; stty size'")"
}
t_tty() {
	has /dev/pts/0 "$(terminal ctr run --runc-binary "$RUNTIME_PATH" --rm --tty "$image" "$name" tty)"
	same "24 46" "$(terminal bash -c "stty rows 24 cols 46; ctr run --runc-binary $RUNTIME_PATH --rm -t $image $name sh -c 'sleep 0.5; stty size'")"
	has "/dev/console" "$(terminal ctr run --runc-binary "$RUNTIME_PATH" --rm --tty "$image" "$name" sh -c 'ls /dev/console')"
}
t_kill() {
	run -d --log-uri "file://$dir/log" "$image" "$name" sh -c 'trap "echo got-usr1" USR1; trap "exit 4" TERM; while :; do sleep 0.1; done'
	sleep 0.3
	ctr tasks kill --signal USR1 "$name"
	until_true 5 grep -q got-usr1 log
	ctr tasks kill --signal 15 "$name"
	until_true 5 is "$name" STOPPED
	has 4 "$(ctr tasks delete "$name" 2>&1)"
	sleeper_again=$name-2
	run -d "$image" "$sleeper_again" sleep 300
	ctr tasks kill --signal SIGKILL "$sleeper_again"
	until_true 5 is "$sleeper_again" STOPPED
	status 1 ctr tasks kill --signal SIGKILL "$sleeper_again"
	has "process already finished" "$said"
}
t_kill_all() {
	run -d --with-ns pid:/proc/1/ns/pid "$image" "$name" sh -c 'sleep 1111 & sleep 1112'
	until_true 5 lives "sleep 1111"
	ctr tasks kill --all --signal KILL "$name"
	until_true 5 is "$name" STOPPED
	until_true 5 dead "sleep 1111"
	dead "sleep 1112"
}
t_shared_pid_ends() {
	# Processes in another container's pid namespace die with that container's first process.
	run -d --with-ns pid:/proc/1/ns/pid "$image" "$name" sh -c 'sleep 1113 & sleep 0.5'
	until_true 5 lives "sleep 1113"
	until_true 5 is "$name" STOPPED
	until_true 5 dead "sleep 1113"
}
t_pause() {
	run -d --log-uri "file://$dir/log" "$image" "$name" sh -c 'while :; do echo x; sleep 0.05; done'
	until_true 5 grep -q x log
	ctr tasks pause "$name"
	is "$name" PAUSED
	local count
	sleep 0.2
	count=$(wc -l <log)
	sleep 0.3
	same "$count" "$(wc -l <log)"
	ctr tasks resume "$name"
	is "$name" RUNNING
	until_true 5 sh -c "[ \$(wc -l <log) -gt $count ]"
}
t_ps() {
	sleeper
	has "$(pid_of "$name")" "$(ctr tasks ps "$name")"
	same 2 "$(ctr tasks ps "$name" | wc -l)"
}
t_metrics() {
	sleeper --memory-limit 33554432
	local metrics
	metrics=$(ctr tasks metrics "$name")
	has memory.usage_in_bytes "$metrics" || has memory "$metrics"
	has 33554432 "$(ctr tasks metrics --format json "$name")"
}
t_limits() {
	sleeper --memory-limit 33554432 --cpus 0.5 --cpu-shares 256
	local pid
	pid=$(pid_of "$name")
	same 33554432 "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)"
	has 50000 "$(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max)"
	has "/default/$name" "$(cat "/proc/$pid/cgroup")"
}
t_oom() {
	ctr events >events &
	local watcher=$!
	sleep 0.3
	status 137 run --rm --memory-limit 16777216 "$image" "$name" sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'
	until_true 5 grep -q "/tasks/oom.*$name" events
	kill "$watcher"
}
t_read_only() {
	status 1 run --rm --read-only "$image" "$name" touch /file
	has "Read-only file system" "$said"
}
t_mounts() {
	mkdir data
	echo outside >data/file
	same outside "$(run --rm --mount "type=bind,src=$dir/data,dst=/data,options=rbind:ro" "$image" "$name" cat /data/file)"
	status 1 run --rm --mount "type=bind,src=$dir/data,dst=/data,options=rbind:ro" "$image" "$name" touch /data/new
	has "size=1024k" "$(run --rm --mount type=tmpfs,src=tmpfs,dst=/t,options=size=1m:nosuid "$image" "$name" grep ' /t ' /proc/mounts)"
	status 1 run --rm --mount "type=bind,src=$dir/missing,dst=/data,options=rbind" "$image" "$name" true
	has "no such file or directory" "$said"
}
t_process() {
	same "b" "$(run --rm --env A=b "$image" "$name" sh -c 'echo $A')"
	same "/home/user" "$(run --rm --cwd /home/user "$image" "$name" pwd)"
	same "1000 1000" "$(run --rm --user user "$image" "$name" sh -c 'echo $(id -u) $(id -g)')"
	same "ship" "$(run --rm --hostname ship "$image" "$name" hostname)"
}
t_capabilities() {
	local effective='/CapEff/ {print $2}'
	same 00000000a80425fb "$(run --rm "$image" "$name" awk "$effective" /proc/self/status)"
	same 00000000a80435fb "$(run --rm --cap-add CAP_NET_ADMIN "$image" "$name" awk "$effective" /proc/self/status)"
	same 00000000a80425fa "$(run --rm --cap-drop CAP_CHOWN "$image" "$name" awk "$effective" /proc/self/status)"
}
t_seccomp() {
	same 2 "$(run --rm --seccomp "$image" "$name" awk '/Seccomp:/ {print $2}' /proc/self/status)"
	echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >profile
	status 1 run --rm --seccomp --seccomp-profile "$dir/profile" "$image" "$name" mkdir /tmp/x
	has "No space left on device" "$said"
}
t_no_new_privileges() {
	same 1 "$(run --rm "$image" "$name" awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
	same 0 "$(run --rm --allow-new-privs "$image" "$name" awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
}
t_privileged() {
	same "$(awk '/CapEff/ {print $2}' /proc/self/status)" "$(run --rm --privileged "$image" "$name" awk '/CapEff/ {print $2}' /proc/self/status)"
	run --rm --privileged "$image" "$name" mount -t tmpfs none /tmp
}
t_devices() {
	same "a:e5" "$(run --rm --device /dev/fuse "$image" "$name" stat -c %t:%T /dev/fuse)"
	status 0 run --rm --device /dev/fuse "$image" "$name" sh -c ': <>/dev/fuse'
	status 1 run --rm "$image" "$name" sh -c 'mknod /tmp/fuse c 10 229 && : <>/tmp/fuse'
}
t_namespaces() {
	same "$(readlink /proc/self/ns/net)" "$(run --rm --net-host "$image" "$name" readlink /proc/self/ns/net)"
	sleeper
	local other
	other=$(pid_of "$name")
	same "$(readlink "/proc/$other/ns/ipc")" "$(run --rm --with-ns "ipc:/proc/$other/ns/ipc" "$image" "$name-2" readlink /proc/self/ns/ipc)"
	same 0,1 "$(run --rm --with-ns "pid:/proc/$other/ns/pid" "$image" "$name-3" sh -c 'cat /proc/1/comm >/dev/null && echo 0,1')"
}
t_pid_file() {
	sleeper --pid-file "$dir/pid"
	same "$(pid_of "$name")" "$(<pid)"
}
t_cgroup_path() {
	sleeper --cgroup "/lanes-own-$$/box"
	has "/lanes-own-$$/box" "$(cat "/proc/$(pid_of "$name")/cgroup")"
}
t_attach() {
	ctr run -d --runc-binary "$RUNTIME_PATH" --fifo-dir "$dir/fifo" "$image" "$name" sh -c 'sleep 1; echo from-task'
	has from-task "$(ctr tasks attach "$name")"
}
t_checkpoint() {
	criu check >criu.txt 2>&1 || skip "criu: $(tail -n 1 criu.txt)"
	run -d --null-io "$image" "$name" sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.1; done'
	sleep 0.5
	mkdir images
	ctr tasks checkpoint --image-path "$dir/images" "$name"
	is "$name" RUNNING
	ls images/core-*.img
	ctr tasks checkpoint --exit "$name"
	until_true 5 is "$name" STOPPED
}
t_restore() {
	criu check >criu.txt 2>&1 || skip "criu: $(tail -n 1 criu.txt)"
	run -d --null-io "$image" "$name" \
		sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/new; mv /new /count; sleep 0.1; done'
	sleep 1
	ctr containers checkpoint --rw --image --task "$name" "localhost/$name:1"
	ctr tasks kill --signal KILL "$name"
	until_true 5 is "$name" STOPPED
	ctr tasks delete "$name" || true
	ctr containers delete "$name"
	ctr containers restore --rw --live "$name" "localhost/$name:1"
	is "$name" RUNNING
	local count
	count=$(ctr tasks exec --exec-id one "$name" cat /count)
	[ "$count" -gt 5 ]
	sleep 0.5
	[ "$(ctr tasks exec --exec-id two "$name" cat /count)" -gt "$count" ]
	ctr images remove "localhost/$name:1"
}
t_restart_of_containerd() {
	sleeper
	local pid
	pid=$(pid_of "$name")
	stop
	rm "$state/containerd.pid"
	daemon
	is "$name" RUNNING
	same "$pid" "$(pid_of "$name")"
	same back "$(ctr tasks exec --exec-id one "$name" echo back)"
}
t_dead_shim() {
	# A shim that was killed leaves the container; containerd calls the runtime to clean up.
	sleeper
	local pid shim
	pid=$(pid_of "$name")
	shim=$(awk '/PPid/ {print $2}' "/proc/$pid/status")
	kill -KILL "$shim"
	until_true 10 test ! -d "/proc/$pid"
	until_true 10 test ! -d "/run/containerd/runc/default/$name"
}
t_many() {
	local n pids=()
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		run --rm "$image" "$name-$n" sh -c "sleep 0.1; echo $n" >"out-$n" 2>&1 &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n"; done
	same "$(seq 16 | xargs)" "$(cat out-* | sort -n | xargs)"
}
