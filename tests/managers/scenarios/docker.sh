# Docker: dockerd with the runtime under test as default, and its BuildKit.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container

export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=/lane/state/docker DOCKER_CLI_HINTS=false

# daemon NAME OPTION…: a dockerd with its own directories
daemon() {
	local of=$1
	shift
	PATH=$state/path:$PATH DOCKER_BUILDKIT_RUNC_COMMAND=$state/path/runc dockerd --config-file "${configuration:-$state/daemon.json}" \
		--host "unix:///run/$of.sock" --pidfile "/run/$of.pid" --data-root "/var/lib/$of" --exec-root "/run/$of" "$@" \
		>"/lane/out/dockerd-$of.log" 2>&1 9>&- &
	until_true 40 docker --host "unix:///run/$of.sock" version
}
undaemon() {
	local pid
	pid=$(<"/run/$1.pid")
	kill "$pid"
	until_true 20 test ! -d "/proc/$pid"
}
start() {
	mkdir -p "$state/path" "$state/docker"
	# BuildKit, and all other programs that look for `runc`, find the runtime.
	cat >"$state/path/runc" <<-END
		#!/bin/sh
		echo "\$@" >>$state/calls-of-runc
		exec $RUNTIME_PATH "\$@"
	END
	chmod 755 "$state/path/runc"
	/lane/scripts/inside/image "$state/box.tar"
	cat >"$state/daemon.json" <<-END
		{"runtimes": {"tested": {"path": "$RUNTIME_PATH"}}, "default-runtime": "tested", "experimental": true,
		 "exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2", "shutdown-timeout": 3}
	END
	daemon docker
	docker load --input "$state/box.tar"
}
stop() { undaemon docker; }
# dockerd's log messages since then about an exit that came before dockerd opened the container's output, which is
# then lost. It happens with every runtime, and more often if the time from `create` to the exit is short and the
# processors are busy.
raced() { # TIME
	awk -v from="time=\"$1" -v race='stream copy error: reading from a closed fifo' \
		'$1 >= from && index($0, race) {print race; said = 1; exit} END {exit !said}' /lane/out/dockerd-*.log
}
cleanup() {
	local ids
	ids=$(docker ps --all --quiet --filter "name=$name")
	# shellcheck disable=SC2086 # a list
	[ -z "$ids" ] || docker rm --force --volumes $ids
}
# A container without a network of its own is created in half the time.
run() { docker run --rm --network none "$@"; }
box() { run "$image" "$@"; }
up() { docker run --detach --name "$name" --network none "$@" "$image" sleep 300; }
inspect() { docker inspect --format "$1" "${2:-$name}"; }
pid_of() { inspect '{{.State.Pid}}' "$@"; }
inside() { docker exec "$name" "$@"; }
state_is() { [ "$(inspect '{{.State.Status}}')" = "$1" ]; }
logs_have() { docker logs "$name" 2>&1 | grep -q -- "$1"; }

t_run() {
	same "1 hello" "$(box sh -c 'echo $$ hello')"
	same ship "$(run --hostname ship "$image" hostname)"
}
t_info() {
	has tested "$(docker info --format '{{.DefaultRuntime}}')"
	has "$RUNTIME_PATH" "$(docker info --format '{{json .Runtimes}}')"
	has '"Name":"tested","Version":"' "$(docker version --format '{{json .Server.Components}}')"
	lacks '"Name":"tested","Version":""' "$(docker version --format '{{json .Server.Components}}')"
}
t_exit_code() {
	status 7 box sh -c 'exit 7'
	status 143 box sh -c 'kill -TERM $$; exit 143'
}
t_exit_125() { status 125 run --no-such-flag "$image" true; }
t_exit_126() {
	status 126 box /etc/issue
	has "permission denied" "$said"
	status 126 box /etc
}
t_exit_127() {
	status 127 box /no/such
	has "no such file or directory" "$said"
	status 127 box no-such
	has "executable file not found" "$said"
}
t_bad_workdir() {
	status 0 run --workdir /made/by/docker "$image" pwd
	same /made/by/docker "$said"
	status 125 run --workdir /etc/issue "$image" pwd
}
t_streams() {
	same "in:text" "$(echo text | run --interactive "$image" sh -c 'read x; echo in:$x; echo err >&2' 2>err)"
	same err "$(<err)"
	same 3000000 "$(head -c 3000000 /dev/zero | run --interactive "$image" wc -c)"
}
t_tty() {
	has /dev/pts/0 "$(terminal docker run --rm --network none --interactive --tty "$image" tty)"
	same "33 44" "$(terminal bash -c "stty rows 33 cols 44; docker run --rm --network none -it $image sh -c 'sleep 0.7; stty size'")"
}
t_tty_detached() {
	up --tty --interactive
	has "/dev/pts/0" "$(inside readlink /proc/1/fd/0)"
	docker kill "$name"
}
t_environment() {
	same "b /home/user" "$(run --env A=b --workdir /home/user "$image" sh -c 'echo $A $(pwd)')"
	same "by entrypoint" "$(run --entrypoint echo "$image" by entrypoint)"
	has "10.9.8.7	far" "$(docker run --rm --add-host far:10.9.8.7 "$image" cat /etc/hosts)"
}
t_logs() {
	docker run --name "$name" --network none "$image" sh -c 'echo one; echo two >&2'
	same one "$(docker logs "$name" 2>/dev/null)"
	same two "$(docker logs "$name" 2>&1 >/dev/null)"
	docker rm "$name"
	docker run --detach --name "$name" --network none "$image" sh -c 'for i in 1 2 3; do echo line $i; sleep 0.2; done'
	same "line 1 line 2 line 3" "$(docker logs --follow "$name" | xargs)"
}
t_attach() {
	docker run --detach --interactive --name "$name" --network none "$image" sh -c 'read x; echo got $x; sleep 0.5; exit 3'
	# At the end of its input the client would exit before the reply arrives.
	status 3 sh -c "(echo text; sleep 1) | docker attach $name"
	has "got text" "$said"
}
t_wait() {
	docker run --detach --name "$name" --network none "$image" sh -c 'sleep 0.5; exit 9'
	same 9 "$(docker wait "$name")"
}
t_exec() {
	up
	same "sleep" "$(inside cat /proc/1/comm)"
	status 5 inside sh -c 'exit 5'
	same text "$(echo text | docker exec --interactive "$name" cat)"
	status 137 inside sh -c 'kill -9 $$'
}
t_exec_codes() {
	up
	# Docker's exit code for a missing program changed between releases.
	status 127 inside no-such || status 126 inside no-such
	has "executable file not found" "$said"
	status 127 inside /no/such || status 126 inside /no/such
	has "no such file or directory" "$said"
	status 126 inside /etc/issue
	has "permission denied" "$said"
}
t_exec_tty() {
	up
	has /dev/pts/ "$(terminal docker exec --interactive --tty "$name" tty)"
	same "21 43" "$(terminal bash -c "stty rows 21 cols 43; docker exec -it $name sh -c 'sleep 0.7; stty size'")"
}
t_exec_options() {
	up
	same "1000:1000" "$(docker exec --user 1000:1000 "$name" sh -c 'echo $(id -u):$(id -g)')"
	same "user" "$(docker exec --user user "$name" id -un)"
	same "b /tmp" "$(docker exec --env A=b --workdir /tmp "$name" sh -c 'echo $A $PWD')"
}
t_exec_privileged() {
	up
	same 0000000000000000 "$(docker exec --user 1000 "$name" awk '/CapEff/ {print $2}' /proc/self/status)"
	local all
	all=$(docker exec --privileged "$name" awk '/CapEff/ {print $2}' /proc/self/status)
	has 000001f "$all"
	docker exec --privileged "$name" ip link set lo mtu 1400
	status 2 inside ip link set lo mtu 1300
}
t_exec_detached() {
	up
	docker exec --detach "$name" sh -c 'echo done >/tmp/file; sleep 100'
	until_true 5 inside grep -q done /tmp/file
	has "sleep 100" "$(docker top "$name")"
}
t_exec_same_policy() {
	up --cap-drop ALL --security-opt no-new-privileges --memory 64m
	same "0000000000000000 1 2" "$(inside awk '/CapBnd|NoNewPrivs|Seccomp:/ {printf "%s%s", n++ ? " " : "", $2}' /proc/self/status)"
	same "$(inside sh -c 'cat /proc/1/cgroup | sort')" "$(inside sh -c 'cat /proc/self/cgroup | sort')"
}
t_stop() {
	docker run --detach --name "$name" --network none "$image" sh -c 'trap "exit 5" TERM; while :; do sleep 0.1; done'
	sleep 0.3
	docker stop "$name"
	same "exited 5" "$(inspect '{{.State.Status}} {{.State.ExitCode}}')"
}
t_stop_kills() {
	up
	docker stop --time 1 "$name"
	same "exited 137" "$(inspect '{{.State.Status}} {{.State.ExitCode}}')"
}
t_stop_signal() {
	docker run --detach --stop-signal USR1 --name "$name" --network none "$image" sh -c 'trap "exit 6" USR1; while :; do sleep 0.1; done'
	sleep 0.3
	docker stop "$name"
	same 6 "$(inspect '{{.State.ExitCode}}')"
}
t_kill() {
	docker run --detach --name "$name" --network none "$image" sh -c 'trap "echo got-hup" HUP; while :; do sleep 0.1; done'
	sleep 0.3
	docker kill --signal HUP "$name"
	until_true 5 logs_have got-hup
	state_is running
	docker kill "$name"
	until_true 5 state_is exited
	same 137 "$(inspect '{{.State.ExitCode}}')"
	status 1 docker kill "$name"
	has "is not running" "$said"
}
t_restart() {
	up
	local before
	before=$(pid_of)
	docker restart --time 0 "$name"
	state_is running
	[ "$before" != "$(pid_of)" ]
	docker stop --time 0 "$name"
	docker start "$name"
	same sleep "$(inside cat /proc/1/comm)"
}
t_restart_policy() {
	docker run --detach --name "$name" --network none --restart on-failure:2 "$image" \
		sh -c 'echo once; sleep 0.2; exit 1' # dockerd may miss the output of a program that exits at once
	until_true 15 sh -c "[ \$(docker logs $name | grep -c once) = 3 ]"
	until_true 5 state_is exited
	same 2 "$(inspect '{{.RestartCount}}')"
}
t_pause() {
	docker run --detach --name "$name" --network none "$image" sh -c 'while :; do echo x; sleep 0.05; done'
	until_true 5 logs_have x
	docker pause "$name"
	state_is paused
	local count
	sleep 0.3
	count=$(docker logs "$name" | wc -l)
	sleep 0.3
	same "$count" "$(docker logs "$name" | wc -l)"
	status 1 inside true
	has paused "$said"
	docker unpause "$name"
	state_is running
	until_true 5 sh -c "[ \$(docker logs $name | wc -l) -gt $count ]"
}
t_pause_stop() {
	up
	docker pause "$name"
	docker stop --time 1 "$name"
	same "exited 137" "$(inspect '{{.State.Status}} {{.State.ExitCode}}')"
}
t_top() {
	up
	docker exec --detach "$name" sleep 123
	until_true 5 sh -c "docker top $name | grep -q 'sleep 123'"
	same 3 "$(docker top "$name" | wc -l)"
	has "$(pid_of)" "$(docker top "$name" -o pid)"
}
t_stats() {
	up --memory 32m
	has "32MiB" "$(docker stats --no-stream --format '{{.MemUsage}}' "$name")"
	same 1 "$(docker stats --no-stream --format '{{.PIDs}}' "$name")"
}
t_update() {
	up --memory 64m --memory-swap 64m
	docker update --memory 48m --memory-swap 96m --cpu-quota 25000 --cpu-period 100000 --pids-limit 33 "$name"
	local pid
	pid=$(pid_of)
	same 50331648 "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)"
	has 25000 "$(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max)"
	same 33 "$(cgroup_value "$pid" pids pids.max pids.max)"
	docker update --cpu-shares 300 "$name"
	same 50331648 "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)"
	has 25000 "$(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max)"
	# Devices are unchanged.
	inside sh -c 'echo x >/dev/null'
	status 1 inside sh -c 'mknod /tmp/fuse c 10 229 && cat /tmp/fuse'
}
t_volumes() {
	mkdir data
	echo outside >data/file
	same outside "$(run --volume "$dir/data:/data" "$image" sh -c 'cat /data/file; echo inside >/data/new')"
	same inside "$(<data/new)"
	status 1 run --volume "$dir/data:/data:ro" "$image" touch /data/other
	has "Read-only file system" "$said"
	status 1 run --mount "type=bind,source=$dir/data/file,target=/f,readonly" "$image" sh -c 'echo x >/f'
	run --volume "$name:/v" "$image" sh -c 'echo kept >/v/file'
	same kept "$(run --volume "$name:/v" "$image" cat /v/file)"
	docker volume rm "$name"
}
t_volume_propagation() {
	mkdir slave shared
	docker run --detach --name "$name" --network none --privileged --volume "$dir/slave:/slave:rslave" \
		--volume "$dir/shared:/shared:rshared" "$image" sleep 300
	mkdir slave/sub shared/sub
	mount -t tmpfs tmpfs slave/sub
	touch slave/sub/seen
	inside ls /slave/sub/seen
	inside mount -t tmpfs tmpfs /shared/sub
	inside touch /shared/sub/seen
	ls shared/sub/seen
	inside umount /shared/sub
	umount slave/sub
}
t_volume_private() {
	mkdir -p data/sub
	up --volume "$dir/data:/data"
	mount -t tmpfs tmpfs data/sub
	touch data/sub/unseen
	status 1 inside ls /data/sub/unseen
	umount data/sub
}
t_volume_recursive_ro() {
	mkdir -p data/sub
	mount -t tmpfs tmpfs data/sub
	status 1 run --mount "type=bind,source=$dir/data,target=/data,readonly" "$image" touch /data/sub/x
	has "Read-only file system" "$said"
	umount data/sub
}
t_init() {
	up --init
	has docker-init "$(inside cat /proc/1/cmdline | tr '\0' ' ')"
	inside sh -c '(sleep 0.1 &) ; exit 0'
	sleep 0.5
	same 0 "$(inside ps -o stat,comm | grep -c ^Z || true)"
	docker stop --time 5 "$name"
	same 143 "$(inspect '{{.State.ExitCode}}')"
}
t_read_only() {
	status 1 run --read-only "$image" touch /file
	has "Read-only file system" "$said"
	status 0 run --read-only --tmpfs /tmp "$image" touch /tmp/file /dev/shm/file
}
t_user() {
	same "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)" "$(run --user user "$image" id)"
	same "4321 0" "$(run --user 4321 "$image" sh -c 'echo $(id -u) $(id -g)')"
	has "3003" "$(run --user 1:2 --group-add 3003 "$image" id -G)"
}
t_capabilities() {
	local effective='/CapEff/ {print $2}'
	same 00000000a80425fb "$(box awk "$effective" /proc/self/status)"
	same 0000000000000000 "$(run --cap-drop ALL "$image" awk "$effective" /proc/self/status)"
	same 0000000000001000 "$(run --cap-drop ALL --cap-add NET_ADMIN "$image" awk "$effective" /proc/self/status)"
	status 1 run --cap-drop CHOWN "$image" chown 1 /tmp
	status 0 run --cap-add NET_ADMIN "$image" ip link set lo down
}
t_privileged() {
	local facts
	facts=$(run --privileged "$image" awk '/CapEff|Seccomp:/ {print $2}' /proc/self/status)
	same "$(awk '/CapBnd/ {print $2}' /proc/1/status)
0" "$facts"
	run --privileged "$image" mount -t tmpfs none /mnt 2>/dev/null || run --privileged "$image" mount -t tmpfs none /tmp
	same "$(stat -c %t:%T /dev/fuse)" "$(run --privileged "$image" stat -c %t:%T /dev/fuse)"
	run --privileged "$image" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}
t_seccomp_default() {
	same 2 "$(box awk '/Seccomp:/ {print $2}' /proc/self/status)"
	status 1 run --cap-add SYS_ADMIN --security-opt seccomp=unconfined "$image" sh -c 'unshare -m true; exit 1'
	status 1 box unshare -U true
	has "Operation not permitted" "$said"
}
t_seccomp_unconfined() {
	same 0 "$(run --security-opt seccomp=unconfined "$image" awk '/Seccomp:/ {print $2}' /proc/self/status)"
}
t_seccomp_profile() {
	echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >profile
	status 1 run --security-opt "seccomp=$dir/profile" "$image" mkdir /tmp/x
	has "No space left on device" "$said"
}
t_no_new_privileges() {
	same 1 "$(run --security-opt no-new-privileges "$image" awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
	same 0 "$(box awk '/NoNewPrivs/ {print $2}' /proc/self/status)"
}
t_masked_paths() {
	same 0 "$(box sh -c 'cat /proc/keys /proc/timer_list 2>/dev/null | wc -c')"
	status 1 box sh -c 'echo x >/proc/sysrq-trigger'
	same "" "$(box ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : || true)"
	status 0 run --security-opt systempaths=unconfined --cap-add SYS_ADMIN "$image" sh -c '! grep -q " /proc/sysrq-trigger " /proc/mounts'
}
t_pids_limit() {
	up --pids-limit 20
	same 20 "$(cgroup_value "$(pid_of)" pids pids.max pids.max)"
	status 2 inside sh -c 'for i in $(seq 40); do sleep 5 & done' || has "can't fork" "$said"
	has "fork" "$said"
}
t_memory() {
	up --memory 40m --memory-reservation 20m --memory-swap 60m
	same 41943040 "$(cgroup_value "$(pid_of)" memory memory.limit_in_bytes memory.max)"
	same 20971520 "$(cgroup_value "$(pid_of)" memory memory.soft_limit_in_bytes memory.low)"
}
t_oom() {
	docker run --name "$name" --network none --memory 16m --memory-swap 16m "$image" sh -c 'x=0123456789abcdef; while :; do x=$x$x; done' || true
	same 137 "$(inspect '{{.State.ExitCode}}')"
}
t_cpus() {
	up --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0
	has 50000 "$(cgroup_value "$(pid_of)" cpu cpu.cfs_quota_us cpu.max)"
	same 0 "$(cgroup_value "$(pid_of)" cpuset cpuset.cpus cpuset.cpus)"
	same 1 "$(inside nproc)"
}
t_device() {
	same "a:e5" "$(run --device /dev/fuse:/dev/my-fuse "$image" stat -c %t:%T /dev/my-fuse)"
	status 0 run --device /dev/fuse "$image" sh -c ': <>/dev/fuse'
	status 1 box sh -c 'mknod /tmp/fuse c 10 229 && : <>/tmp/fuse'
	status 0 run --device-cgroup-rule 'c 10:229 rwm' "$image" sh -c 'mknod /tmp/fuse c 10 229 && : <>/tmp/fuse'
	status 0 run --device-cgroup-rule 'c 42:* rmw' "$image" true
}
t_sysctl() {
	same 4242 "$(run --sysctl net.core.somaxconn=4242 "$image" cat /proc/sys/net/core/somaxconn)"
	same 70000 "$(run --sysctl kernel.msgmax=70000 "$image" cat /proc/sys/kernel/msgmax)"
}
t_ulimit() {
	same "100 200" "$(run --ulimit nofile=100:200 "$image" sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
	same 0 "$(run --ulimit core=0 "$image" sh -c 'ulimit -c')"
}
t_tmpfs() {
	has "size=1024k" "$(run --tmpfs /mine:rw,size=1m,mode=700 "$image" grep ' /mine ' /proc/mounts)"
	status 1 run --tmpfs /mine:size=1m "$image" dd if=/dev/zero of=/mine/file bs=1M count=2
	has "No space left" "$said"
	has "noexec" "$(run --mount type=tmpfs,target=/mine,tmpfs-mode=1777 "$image" grep ' /mine ' /proc/mounts)"
}
t_shm_size() {
	has "size=5120k" "$(run --shm-size 5m "$image" grep ' /dev/shm ' /proc/mounts)"
}
t_ipc() {
	same "$(readlink /proc/self/ns/ipc)" "$(run --ipc host "$image" readlink /proc/self/ns/ipc)"
	docker run --detach --name "$name" --network none --ipc shareable "$image" sh -c 'echo mine >/dev/shm/file; sleep 300'
	same mine "$(run --ipc "container:$name" "$image" sh -c 'sleep 0.2; cat /dev/shm/file')"
}
t_pid() {
	up
	same "$(readlink /proc/self/ns/pid)" "$(run --pid host "$image" readlink /proc/self/ns/pid)"
	has "sleep 300" "$(run --pid "container:$name" "$image" ps -o args)"
}
t_pid_host_stops() {
	docker run --detach --name "$name" --network none --pid host "$image" sh -c 'sleep 1234 & sleep 1235'
	until_true 5 lives "sleep 1234"
	docker rm --force "$name"
	until_true 5 dead "sleep 1234"
	dead "sleep 1235"
}
t_net() {
	same "$(readlink /proc/self/ns/net)" "$(docker run --rm --network host "$image" readlink /proc/self/ns/net)"
	up
	same "$(inside readlink /proc/self/ns/net)" "$(docker run --rm --network "container:$name" "$image" readlink /proc/self/ns/net)"
	same lo "$(box ls /sys/class/net)"
}
t_net_bridge() {
	docker network create "$name"
	docker run --detach --name "$name-a" --network "$name" "$image" sleep 300
	docker run --detach --name "$name-b" --network "$name" "$image" sh -c 'echo page >/tmp/index.html; httpd -f -h /tmp'
	until_true 5 docker exec "$name-a" wget -q -O - "http://$name-b/index.html"
	same page "$(docker exec "$name-a" wget -q -O - "http://$name-b/index.html")"
	docker rm --force "$name-a" "$name-b"
	docker network rm "$name"
}
t_publish() {
	docker run --detach --name "$name" --publish 127.0.0.1:8765:80 "$image" sh -c 'echo page >/tmp/index.html; httpd -f -h /tmp'
	until_true 5 busybox wget -q -O - http://127.0.0.1:8765/index.html
}
t_uts() {
	same lane "$(run --uts host "$image" hostname)"
	same "ship.port" "$(run --hostname ship --domainname port "$image" cat /proc/sys/kernel/hostname).$(run --domainname port "$image" cat /proc/sys/kernel/domainname)"
}
t_cgroupns() {
	same "$(readlink /proc/self/ns/cgroup)" "$(run --cgroupns host "$image" readlink /proc/self/ns/cgroup)"
	[ "$(readlink /proc/self/ns/cgroup)" != "$(run --cgroupns private "$image" readlink /proc/self/ns/cgroup)" ]
	has "/docker/" "$(run --cgroupns host "$image" cat /proc/self/cgroup)"
	lacks "/docker/" "$(run --cgroupns private "$image" cat /proc/self/cgroup)"
}
t_cgroup_parent() {
	up --cgroup-parent "/lanes-own-$$"
	has "/lanes-own-$$/" "$(cat "/proc/$(pid_of)/cgroup")"
}
t_healthcheck() {
	up --health-cmd 'test -f /tmp/well' --health-interval 0.3s --health-retries 1 --health-timeout 5s
	until_true 10 sh -c "[ \$(docker inspect -f '{{.State.Health.Status}}' $name) = unhealthy ]"
	inside touch /tmp/well
	until_true 10 sh -c "[ \$(docker inspect -f '{{.State.Health.Status}}' $name) = healthy ]"
}
t_cp() {
	up
	echo text >file
	docker cp file "$name:/tmp/file"
	same text "$(inside cat /tmp/file)"
	inside sh -c 'echo back >/tmp/other'
	docker cp "$name:/tmp/other" other
	same back "$(<other)"
}
t_commit() {
	docker run --name "$name" --network none "$image" sh -c 'echo kept >/kept'
	has "A /kept" "$(docker diff "$name")"
	docker commit "$name" "localhost/$name"
	same kept "$(run "localhost/$name" cat /kept)"
	docker rmi "localhost/$name"
}
t_oom_score_adj() {
	same 500 "$(run --oom-score-adj 500 "$image" cat /proc/self/oom_score_adj)"
	same 0 "$(box cat /proc/self/oom_score_adj)"
}
t_rename() {
	up
	docker rename "$name" "$name-new"
	docker exec "$name-new" true
	docker rm --force "$name-new"
}
t_bind_missing() {
	status 125 run --mount "type=bind,source=$dir/missing,target=/x" "$image" true
	# A file cannot be mounted on a directory.
	touch file
	status 125 run --volume "$dir/file:/etc" "$image" true || status 127 run --volume "$dir/file:/etc" "$image" true
	has "not a directory" "$said"
}
t_build() {
	mkdir context
	echo text >context/file
	cat >context/Dockerfile <<-END
		FROM $image AS first
		COPY file /file
		RUN test "\$(cat /file)" = text && echo made >/made && test \$\$ = 1
		RUN --network=none ip link show lo
		FROM first
		ENV A=b
		USER user
		RUN id -un >/tmp/who
		USER root
		RUN --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cache touch /scratch/x /cache/x
		CMD ["cat", "/made", "/tmp/who"]
	END
	DOCKER_BUILDKIT=1 docker build --network none --tag "localhost/$name" context
	same "made user" "$(run "localhost/$name" | xargs)"
	has " run --bundle /var/lib/docker/buildkit/" "$(<"$state/calls-of-runc")"
	docker rmi "localhost/$name"
}
t_build_secret() {
	mkdir context
	echo hidden >secret
	printf 'FROM %s\nRUN --mount=type=secret,id=s cat /run/secrets/s >/seen\n' "$image" >context/Dockerfile
	DOCKER_BUILDKIT=1 docker build --network none --secret "id=s,src=$dir/secret" --tag "localhost/$name" context
	same hidden "$(run "localhost/$name" cat /seen)"
	docker rmi "localhost/$name"
}
t_build_network() {
	mkdir context
	printf 'FROM %s\nRUN ip addr show | grep -q "inet "\nRUN --network=host ip addr\n' "$image" >context/Dockerfile
	DOCKER_BUILDKIT=1 docker build --allow network.host --no-cache context
}
t_build_failure() {
	mkdir context
	printf 'FROM %s\nRUN exit 42\n' "$image" >context/Dockerfile
	status 1 env DOCKER_BUILDKIT=1 docker build --network none context
	has "exit code: 42" "$said"
	printf 'FROM %s\nRUN no-such-command\n' "$image" >context/Dockerfile
	status 1 env DOCKER_BUILDKIT=1 docker build --network none context
	has "exit code: 127" "$said"
	printf 'FROM %s\nRUN ["/no/such"]\n' "$image" >context/Dockerfile
	status 1 env DOCKER_BUILDKIT=1 docker build --network none context
}
t_build_cancelled() {
	mkdir context
	printf 'FROM %s\nRUN sleep 3456\n' "$image" >context/Dockerfile
	DOCKER_BUILDKIT=1 docker build --network none --no-cache context &
	local client=$!
	until_true 10 lives "sleep 3456"
	kill -INT "$client" || true
	kill -TERM "$client" || true
	until_true 15 dead "sleep 3456"
	wait "$client" || true
}
t_build_classic() {
	mkdir context
	printf 'FROM %s\nRUN echo made >/made\n' "$image" >context/Dockerfile
	DOCKER_BUILDKIT=0 docker build --network none --tag "localhost/$name" context
	same made "$(run "localhost/$name" cat /made)"
	docker rmi "localhost/$name"
}
t_checkpoint() {
	criu check >criu.txt 2>&1 || skip "criu: $(tail -n 1 criu.txt)"
	docker run --detach --name "$name" --network none --security-opt seccomp=unconfined "$image" \
		sh -c 'i=0; while :; do echo $i; i=$((i + 1)); sleep 0.1; done'
	until_true 5 logs_have 3
	docker checkpoint create --leave-running "$name" one
	state_is running
	has one "$(docker checkpoint ls "$name")"
	# In another container: dockerd may still use data stored for the first one.
	docker rm --force "$name"
	up --security-opt seccomp=unconfined
	docker checkpoint create "$name" two
	until_true 5 state_is exited
	has two "$(docker checkpoint ls "$name")"
}
t_many() {
	local n pids=()
	for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
		docker run --rm --name "$name-$n" --network none "$image" sh -c "sleep 0.1; echo $n" >"out-$n" 2>&1 &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n"; done
	same "1 2 3 4 5 6 7 8 9 10 11 12" "$(cat out-* | sort -n | xargs)"
}
t_as_documented() {
	documented docker-daemon >daemon.json
	configuration=$dir/daemon.json daemon documented --bridge none --iptables=false --ip6tables=false
	(
		export DOCKER_HOST=unix:///run/documented.sock
		docker load --input "$state/box.tar"
		documented docker-run >run.sh
		same hello "$(bash run.sh)"
		run --detach --name "$name" --runtime orlop "$image" sleep 300
		same orlop "$(inspect '{{.HostConfig.Runtime}}')"
		docker rm --force "$name"
	)
	undaemon documented
}
t_userns_remap() {
	grep -q ^mapped: /etc/passwd || useradd --system mapped
	echo mapped:200000:65536 >/etc/subuid
	echo mapped:200000:65536 >/etc/subgid
	daemon remapped --userns-remap mapped --bridge none --iptables=false --ip6tables=false
	(
		export DOCKER_HOST=unix:///run/remapped.sock
		docker load --input "$state/box.tar"
		same "0 200000 65536" "$(box cat /proc/self/uid_map | xargs)"
		same "0 1000" "$(run --user 1000 "$image" sh -c 'echo $(stat -c %u /etc/issue) $(id -u)')"
		docker run --detach --name "$name" --network none --memory 32m "$image" sleep 300
		same 200000 "$(stat -c %u "/proc/$(pid_of)")"
		same 0 "$(inside id -u)"
		status 1 inside sh -c 'echo x >/proc/sysrq-trigger'
		mkdir data
		chmod 755 data
		status 1 run --volume "$dir/data:/data" "$image" touch /data/file
		same 0 "$(run --userns host "$image" cat /proc/self/uid_map | awk '{print $2}')"
		docker rm --force "$name"
	)
	undaemon remapped
}
