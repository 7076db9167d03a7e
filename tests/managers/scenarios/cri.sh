# containerd under Kubernetes, through the container runtime interface.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container, or for jq


daemon() {
	containerd --config "$state/config.toml" >>/lane/out/containerd.log 2>&1 9>&- &
	echo $! >"$state/containerd.pid"
	until_true 30 cri Version
}
start() {
	[ -f /usr/share/cri/api.pb ] || skip "this release of Debian has no package with Kubernetes' interface"
	mkdir -p "$state/cni"
	/lane/scripts/inside/image "$state/box.tar"
	# Version 2 of the file is supported since containerd 1.3.
	cat >"$state/config.toml" <<-END
		disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
		$(documented cri-2)
		[plugins."io.containerd.internal.v1.opt"]
		  path = "/lane/state/opt"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "localhost/pause:1"
		  restrict_oom_score_adj = true
		  stream_server_address = "127.0.0.1"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$state/cni"
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    default_runtime_name = "orlop"
	END
	cat >"$state/cni/10-lane.conflist" <<-'END'
		{"cniVersion": "0.4.0", "name": "lane", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
		 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/16"}]]}}]}
	END
	cri serve >/lane/out/cri.log 2>&1 &
	echo $! >"$state/cri.pid"
	daemon
	ctr --namespace k8s.io images import "$state/box.tar"
	until_true 10 ready
}
undaemon() {
	kill "$(<"$state/containerd.pid")"
	until_true 15 test ! -d "/proc/$(<"$state/containerd.pid")"
}
stop() {
	undaemon
	kill "$(<"$state/cri.pid")"
}
# A call, or a stream: see inside/cri. Calls go to a server that has its libraries loaded.
cri() {
	case $1 in
	exec | attach | serve) /lane/scripts/inside/cri "$@"; return ;;
	esac
	local line answer
	exec 7<>/dev/tcp/127.0.0.1/7070
	line="$1 ${2:-{\}}"
	echo "${line//$'\n'/ }" >&7
	answer=$(cat <&7)
	exec 7>&-
	echo "${answer#* }"
	[ "${answer%% *}" = ok ]
}
ready() { cri Status | jq --exit-status 'all(.status.conditions[]; .status)'; }
cleanup() {
	local id
	for id in $(cri ListPodSandbox | jq -r --arg name "$name" '.items[] | select(.metadata.name | startswith($name)).id'); do
		cri StopPodSandbox "{\"pod_sandbox_id\": \"$id\"}"
		cri RemovePodSandbox "{\"pod_sandbox_id\": \"$id\"}"
	done
}

# pod [JQ-FILTER]: starts a pod with a changed configuration; $pod is its ID.
pod() {
	jq -n --arg name "$name" --arg logs "$dir/logs" "{metadata: {name: \$name, uid: \$name, namespace: \"lane\"},
		log_directory: \$logs, linux: {cgroup_parent: \"/lane-pods\", security_context: {namespace_options: {pid: \"CONTAINER\"}}}}
		| ${1:-.}" >pod.json
	cri RunPodSandbox "$(jq '{config: .}' pod.json)" >answer || { cat answer; return 1; }
	pod=$(jq -r .pod_sandbox_id answer)
}
# container JQ-FILTER COMMAND…: creates and starts a container in the pod; $box is its ID.
made=0
container() {
	local filter=$1
	shift
	made=$((made + 1)) label=box$BASHPID-$made
	jq -n --arg name "$label" --arg image "$image" "{metadata: {name: \$name}, image: {image: \$image},
		command: \$ARGS.positional, log_path: \"\\(\$name).log\", linux: {security_context: {namespace_options: {pid: \"CONTAINER\"}}, resources: {}}} | ${filter:-.}" \
		--args -- "$@" >box.json
	cri CreateContainer "$(jq --arg pod "$pod" --slurpfile of pod.json \
		'{pod_sandbox_id: $pod, config: ., sandbox_config: $of[0]}' box.json)" >answer || { cat answer; return 1; }
	box=$(jq -r .container_id answer)
	cri StartContainer "{\"container_id\": \"$box\"}" >answer || { cat answer; return 1; }
}
status_of() { cri ContainerStatus "{\"container_id\": \"${2:-$box}\"}" | jq -r ".status.$1"; }
state_is() { [ "$(status_of state)" = "CONTAINER_$1" ]; }
pid_of() { cri ContainerStatus "{\"container_id\": \"${1:-$box}\", \"verbose\": true}" | jq -r '.info.info | fromjson.pid'; }
# What a command prints in the container: inside COMMAND…
inside() {
	cri ExecSync "$(jq -n --arg box "$box" '{container_id: $box, cmd: $ARGS.positional, timeout: 20}' --args -- "$@")" >exec.json || { cat exec.json; return 1; }
	jq -r '.stdout | @base64d' exec.json
	jq -r '.stderr | @base64d' exec.json >&2
	return "$(jq .exit_code exec.json)"
}
log() { cut -d' ' -f4- "logs/$label.log"; }
# Runs a command in a container of its own, and prints its log: once JQ-FILTER COMMAND…
once() {
	container "$@"
	until_true 20 state_is EXITED
	log
}

t_as_documented() {
	# The other form of the file; `start` uses the first one.
	case $(containerd --version) in
	*' 1.'*) skip "containerd before 2.0 knows version 2 of its configuration only" ;;
	esac
	documented cri-3 >config.toml
	has "$RUNTIME_PATH" "$(containerd --config config.toml config dump | grep -A 40 'containerd.runtimes.orlop')"
}
t_pod() {
	pod
	same SANDBOX_READY "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.state)"
	has 10.77. "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.network.ip)"
	cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
	same SANDBOX_NOTREADY "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.state)"
	cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
}
t_life_cycle() {
	pod
	container . sleep 300
	state_is RUNNING
	cri StopContainer "{\"container_id\": \"$box\", \"timeout\": 0}"
	state_is EXITED
	same 137 "$(status_of exit_code)"
	cri RemoveContainer "{\"container_id\": \"$box\"}"
	container . sh -c 'exit 7'
	until_true 10 state_is EXITED
	same "7 Error" "$(status_of exit_code) $(status_of reason)"
	container . true
	until_true 10 state_is EXITED
	same "0 Completed" "$(status_of exit_code) $(status_of reason)"
}
t_stop_with_grace() {
	pod
	container . sh -c 'trap "echo bye; exit 3" TERM; while :; do sleep 0.1; done'
	sleep 0.3
	cri StopContainer "{\"container_id\": \"$box\", \"timeout\": 10}"
	same "3 bye" "$(status_of exit_code) $(log)"
}
t_bad_command() {
	pod
	status 1 container . /no/such
	has "no such file or directory" "$said"
	status 1 container . no-such
	has "executable file not found" "$said"
}
t_logs() {
	pod
	container . sh -c 'echo one; echo two >&2'
	until_true 10 state_is EXITED
	has " stdout F one" "$(<logs/$label.log)"
	has " stderr F two" "$(<logs/$label.log)"
}
t_exec_sync() {
	pod
	container . sleep 300
	same hello "$(inside echo hello)"
	status 4 inside sh -c 'exit 4'
	status 1 inside no-such
	has "executable file not found" "$said"
	status 1 cri ExecSync "{\"container_id\": \"$box\", \"cmd\": [\"sleep\", \"20\"], \"timeout\": 1}"
	has DEADLINE "$said"
	until_true 5 dead "sleep 20"
}
t_exec() {
	pod
	container . sleep 300
	same text "$(echo text | cri exec "$box" sh -c 'read x; echo $x')"
	status 6 cri exec "$box" sh -c 'exit 6'
	has "33 44" "$(cri exec --tty 33x44 "$box" sh -c 'sleep 0.3; stty size')"
	has /dev/pts/ "$(cri exec --tty 33x44 "$box" tty)"
}
t_attach() {
	pod
	container '.stdin = true | .stdin_once = true' sh -c 'read x; sleep 0.3; echo got $x'
	has "got text" "$( (echo text; sleep 1) | cri attach "$box")"
}
t_tty() {
	pod
	container '.tty = true' sh -c 'tty; sleep 300'
	until_true 5 sh -c "grep -q /dev/pts/0 logs/$label.log"
}
t_stats() {
	pod
	container '.linux.resources.memory_limit_in_bytes = 67108864' sleep 300
	local stats
	stats=$(cri ContainerStats "{\"container_id\": \"$box\"}")
	[ "$(jq -r .stats.memory.working_set_bytes.value <<<"$stats")" -gt 0 ]
	[ "$(jq -r .stats.cpu.usage_core_nano_seconds.value <<<"$stats")" -gt 0 ]
	cri PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}" | jq -e '.stats.linux.process.process_count.value | tonumber > 0'
}
t_resources() {
	pod
	container '.linux.resources = {memory_limit_in_bytes: 67108864, cpu_quota: 50000, cpu_period: 100000, cpu_shares: 512,
		cpuset_cpus: "0", oom_score_adj: 300}' sleep 300
	local pid
	pid=$(pid_of)
	same 67108864 "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)"
	has 50000 "$(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max)"
	same 0 "$(cgroup_value "$pid" cpuset cpuset.cpus cpuset.cpus)"
	same 300 "$(<"/proc/$pid/oom_score_adj")"
	has "/lane-pods/$box" "$(<"/proc/$pid/cgroup")"
}
t_update() {
	pod
	container '.linux.resources.memory_limit_in_bytes = 67108864' sleep 300
	cri UpdateContainerResources "{\"container_id\": \"$box\",
		\"linux\": {\"memory_limit_in_bytes\": 33554432, \"cpu_quota\": 20000, \"cpu_period\": 100000}}"
	local pid
	pid=$(pid_of)
	same 33554432 "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)"
	has 20000 "$(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max)"
	inside sh -c 'echo x >/dev/null'
	status 1 inside sh -c 'mknod /tmp/fuse c 10 229 && : <>/tmp/fuse'
}
t_oom() {
	pod
	container '.linux.resources.memory_limit_in_bytes = 16777216' sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'
	until_true 20 state_is EXITED
	same "137 OOMKilled" "$(status_of exit_code) $(status_of reason)"
}
t_shared_namespaces() {
	pod
	container . sh -c 'sleep 300'
	local first=$box pid
	container . sleep 301
	pid=$(pid_of)
	local kind
	for kind in net ipc uts; do
		same "$(readlink "/proc/$(pid_of "$first")/ns/$kind")" "$(readlink "/proc/$pid/ns/$kind")"
	done
	[ "$(readlink "/proc/$(pid_of "$first")/ns/pid")" != "$(readlink "/proc/$pid/ns/pid")" ]
	same sleep "$(inside cat /proc/1/comm)"
}
t_shared_pid() {
	pod '.linux.security_context.namespace_options.pid = "POD"'
	container '.linux.security_context.namespace_options.pid = "POD"' sleep 302
	has 2147483647 "$(inside cat /proc/1/cmdline | tr '\0' ' ')"
	container '.linux.security_context.namespace_options.pid = "POD"' sh -c 'sleep 1303 & sleep 300'
	until_true 5 lives "sleep 1303"
	cri StopContainer "{\"container_id\": \"$box\", \"timeout\": 0}"
	until_true 5 dead "sleep 1303"
}
t_host_namespaces() {
	pod '.linux.security_context.namespace_options = {network: "NODE", pid: "NODE", ipc: "NODE"}'
	container '.linux.security_context.namespace_options = {network: "NODE", pid: "NODE", ipc: "NODE"}' sleep 300
	local kind
	for kind in net pid ipc; do
		same "$(readlink "/proc/self/ns/$kind")" "$(inside readlink "/proc/self/ns/$kind")"
	done
	same lane "$(inside hostname)"
	cri StopContainer "{\"container_id\": \"$box\", \"timeout\": 0}"
	same 137 "$(status_of exit_code)"
}
t_hostname() {
	pod '.hostname = "ship"'
	same ship "$(once . hostname)"
}
t_privileged() {
	pod '.linux.security_context.privileged = true'
	container '.linux.security_context.privileged = true' sleep 300
	same "$(awk '/CapEff/ {print $2}' /proc/self/status)" "$(inside awk '/CapEff/ {print $2}' /proc/self/status)"
	inside mount -t tmpfs none /tmp
	same "$(stat -c %t:%T /dev/fuse)" "$(inside stat -c %t:%T /dev/fuse)"
}
t_capabilities() {
	pod
	local effective='/CapEff/ {print $2}'
	same 00000000a80425fb "$(once . awk "$effective" /proc/self/status)"
	same 00000000a80435fb "$(once '.linux.security_context.capabilities.add_capabilities = ["NET_ADMIN"]' awk "$effective" /proc/self/status)"
	same 0000000000000000 "$(once '.linux.security_context.capabilities.drop_capabilities = ["ALL"]' awk "$effective" /proc/self/status)"
	has 000001f "$(once '.linux.security_context.capabilities.add_capabilities = ["ALL"]' awk "$effective" /proc/self/status)"
}
t_seccomp() {
	pod
	same 2 "$(once '.linux.security_context.seccomp = {profile_type: "RuntimeDefault"}' awk '/Seccomp:/ {print $2}' /proc/self/status)"
	same 0 "$(once '.linux.security_context.seccomp = {profile_type: "Unconfined"}' awk '/Seccomp:/ {print $2}' /proc/self/status)"
	echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >profile
	has "No space left on device" "$(once ".linux.security_context.seccomp = {profile_type: \"Localhost\", localhost_ref: \"$dir/profile\"}" mkdir /tmp/x)"
}
t_read_only() {
	pod
	has "Read-only file system" "$(once '.linux.security_context.readonly_rootfs = true' touch /file)"
}
t_user() {
	pod
	same "1000 2000" "$(once '.linux.security_context += {run_as_user: {value: 1000}, run_as_group: {value: 2000}}' sh -c 'echo $(id -u) $(id -g)')"
	same "1000 3003" "$(once '.linux.security_context += {run_as_username: "user", supplemental_groups: [3003]}' sh -c 'echo $(id -u) $(id -G | tr " " "\n" | grep 3003)')"
}
t_no_new_privileges() {
	pod
	same 1 "$(once '.linux.security_context.no_new_privs = true' awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
	same 0 "$(once . awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
}
t_masked_paths() {
	pod
	local masks='.linux.security_context |= (.masked_paths = ["/proc/version"] | .readonly_paths = ["/proc/sys"])'
	same "" "$(once "$masks" cat /proc/version)"
	has "Read-only file system" "$(once "$masks" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward')"
	has Linux "$(once . cat /proc/version)"
}
t_mounts() {
	mkdir -p data slave shared
	echo outside >data/file
	mount --bind "$dir" "$dir"
	mount --make-shared "$dir"
	pod '.linux.security_context.privileged = true'
	container ".mounts = [{container_path: \"/data\", host_path: \"$dir/data\", readonly: true},
		{container_path: \"/slave\", host_path: \"$dir/slave\", propagation: \"PROPAGATION_HOST_TO_CONTAINER\"},
		{container_path: \"/shared\", host_path: \"$dir/shared\", propagation: \"PROPAGATION_BIDIRECTIONAL\"}]
		| .linux.security_context.privileged = true" sleep 300
	same outside "$(inside cat /data/file)"
	status 1 inside touch /data/new
	has "Read-only file system" "$said"
	mkdir slave/sub shared/sub
	mount -t tmpfs tmpfs slave/sub
	touch slave/sub/seen
	inside ls /slave/sub/seen
	inside mount -t tmpfs tmpfs /shared/sub
	inside touch /shared/sub/seen
	ls shared/sub/seen
	umount slave/sub shared/sub
	inside sh -c '! ls /slave/sub/seen'
}
t_sysctls() {
	pod '.linux.sysctls = {"net.core.somaxconn": "4242", "kernel.shm_rmid_forced": "1"}'
	container . sleep 300
	same "4242 1" "$(inside cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced | xargs)"
}
t_environment() {
	pod
	same "b /tmp" "$(once '.envs = [{key: "A", value: "b"}] | .working_dir = "/tmp"' sh -c 'echo $A $PWD')"
}
t_devices() {
	pod
	container '.devices = [{container_path: "/dev/mine", host_path: "/dev/fuse", permissions: "rwm"}]' sleep 300
	inside sh -c ': <>/dev/mine'
}
t_user_namespace() {
	local maps='{mode: "POD", uids: [{host_id: 200000, container_id: 0, length: 65536}], gids: [{host_id: 200000, container_id: 0, length: 65536}]}'
	status 0 pod ".linux.security_context.namespace_options.userns_options = $maps" || skip "containerd: $said"
	pod=$(cri ListPodSandbox | jq -r --arg name "$name" '.items[] | select(.metadata.name == $name).id')
	local inner=".linux.security_context.namespace_options.userns_options = $maps"
	container "$inner" sleep 300
	same "0 200000 65536" "$(inside cat /proc/self/uid_map | xargs)"
	same 200000 "$(stat -c %u "/proc/$(pid_of)")"
	same 0 "$(inside stat -c %u /etc/issue)"
	mkdir data
	local mount="{container_path: \"/data\", host_path: \"$dir/data\", uidMappings: $maps.uids, gidMappings: $maps.gids}"
	# Before 2.0 containerd itself refuses a volume with such a mapping.
	if said=$(container "$inner | .mounts = [$mount]" sh -c 'touch /data/new; sleep 300' 2>&1); then
		until_true 5 test -f data/new
		same 0 "$(stat -c %u data/new)"
	else
		has "idmap mounts not yet supported" "$said"
	fi
}
t_checkpoint() {
	criu check >criu.txt 2>&1 || skip "criu: $(tail -n 1 criu.txt)"
	pod
	container . sh -c 'while :; do sleep 0.1; done'
	status 0 cri CheckpointContainer "{\"container_id\": \"$box\", \"location\": \"$dir/checkpoint.tar\"}" || {
		has UNIMPLEMENTED "$said"
		skip "this release of containerd makes no checkpoints for Kubernetes"
	}
	tar -tf checkpoint.tar | grep core-
	state_is RUNNING
}
t_restart_of_containerd() {
	pod
	container . sleep 300
	undaemon
	daemon
	state_is RUNNING
	same back "$(inside echo back)"
}
t_many() {
	pod
	local n
	for n in 1 2 3 4 5 6 7 8; do
		(mkdir "$n" && cp pod.json "$n" && cd "$n" && container ".log_path = \"many$n.log\"" echo "$n") &
	done
	wait
	until_true 20 sh -c '[ "$(cat logs/many*.log | wc -l)" = 8 ]'
}
