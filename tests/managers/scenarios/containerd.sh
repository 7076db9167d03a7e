# containerd through ctr.
# shellcheck shell=bash disable=SC2154

limits[many]=120
ctr() { command ctr --address /run/containerd/containerd.sock "$@"; }

start() {
	mkdir -p "$state"
	/lane/scripts/inside/image "$state/box.tar"
	cat >"$state/config.toml" <<-'END'
		version = 2
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
		[plugins."io.containerd.internal.v1.opt"]
		  path = "/lane/state/opt"
	END
	containerd --config "$state/config.toml" >/lane/out/containerd.log 2>&1 &
	echo $! >"$state/containerd.pid"
	until_true 30 ctr version
	ctr images import "$state/box.tar"
}
stop() {
	kill "$(<"$state/containerd.pid")"
	until_true 15 test ! -d "/proc/$(<"$state/containerd.pid")"
}
cleanup() {
	local id
	for id in $(ctr containers list -q | grep -- "^$name"); do
		ctr tasks kill --all --signal KILL "$id"
		until_true 5 ctr tasks delete --force "$id"
		ctr containers delete "$id"
	done
}
# run OPTION… IMAGE ID COMMAND…, on top of the runtime under test
run() { ctr run --runc-binary "$RUNTIME_PATH" "$@"; }
pid_of() { ctr tasks list | awk -v id="$1" '$1 == id {print $2}'; }
state_of() { ctr tasks list | awk -v id="$1" '$1 == id {print $3}'; }
is() { [ "$(state_of "$1")" = "$2" ]; }
sleeper() { run -d "$@" "$image" "$name" sleep 300; }

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
	# It says the code, and succeeds.
	has 137 "$(ctr tasks delete "$name" 2>&1)"
	ctr containers delete "$name"
	status 1 ctr tasks delete "$name"
}
