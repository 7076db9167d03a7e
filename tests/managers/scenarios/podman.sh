# Podman as root: the life of containers, input and output, exec, hooks, pods, builds, checkpoints.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container
. /lane/scripts/inside/podman.sh

### a container's life
t_run() { same "hello from 1" "$(run $image sh -c 'echo hello from $$')"; }
t_run_documented() { same hello "$(bash -euc "$(documented podman-run | sed 's/ run / run --network none /')")"; }
t_run_detached() {
	same 64 "$(podman run -d --network none --name c $image echo done | tr -d '\n' | wc -c)"
	same 0 "$(podman wait c)"
	same done "$(podman logs c)"
	soon 'test "$(inspect "{{.State.Status}} {{.State.ExitCode}}" c)" = "exited 0"'
	gone c
}
t_stdin() { same "a b c" "$(echo a b c | run -i $image cat)"; }
t_stderr() {
	same out "$(run $image sh -c 'echo out; echo err >&2' 2>err)"
	same err "$(cat err)"
}
t_environment() {
	same "/tmp 1 two podman" "$(run -e one=1 --env two=two -w /tmp --entrypoint /bin/sh $image -c 'echo $PWD $one $two $container')"
}
t_exit_codes() {
	status 0 run $image true
	status 7 run $image sh -c 'exit 7'
	status 125 run --no-such-flag $image true
	status 126 run $image /etc/passwd
	has "permission denied" "$said"
	status 126 run $image /etc
	status 127 run $image no-such-program
	has 'executable file not found in $PATH' "$said"
	status 127 run $image /no/such/program
	has "no such file or directory" "$said"
	status 127 run --workdir / --entrypoint '["/no","arg"]' $image
}
t_killed_by_signal() {
	up c -- sh -c 'kill -SEGV $$; sleep 9'
	# The first process of a pid namespace ignores signals that it does not handle.
	podman kill -s KILL c >/dev/null
	same 137 "$(podman wait c)"
	gone c
}
t_create_start() {
	podman create --network none --name c $image sh -c 'echo $((1 + 1))' >/dev/null
	same created "$(inspect '{{.State.Status}}' c)"
	same 2 "$(podman start -a c)"
	same 2 "$(podman start -a c)"
	gone c
}
t_init_container() {
	podman create --network none --name c $image sleep 100 >/dev/null
	podman init c >/dev/null
	same initialized "$(inspect '{{.State.Status}}' c)"
	podman start c >/dev/null
	same running "$(inspect '{{.State.Status}}' c)"
	gone c
}
t_rm_initialized() {
	podman create --network none --name c $image sleep 100 >/dev/null
	podman init c >/dev/null
	gone c
	status 1 podman container exists c
}
t_stop() {
	up c -- sh -c 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
	soon 'podman logs c | grep -q ready'
	podman stop c >/dev/null
	same 3 "$(inspect '{{.State.ExitCode}}' c)"
	has caught "$(podman logs c)"
	gone c
}
t_stop_signal() {
	up c --stop-signal USR1 -- sh -c 'trap "exit 4" USR1; echo ready; while :; do sleep 0.05; done'
	soon 'podman logs c | grep -q ready'
	podman stop c >/dev/null
	same 4 "$(inspect '{{.State.ExitCode}}' c)"
	gone c
}
t_stop_timeout() {
	up c -- sleep 100
	podman stop -t 1 c >/dev/null 2>&1
	same 137 "$(inspect '{{.State.ExitCode}}' c)"
	gone c
}
t_kill() {
	up c -- sh -c 'trap "echo one" USR1; trap "echo two" USR2; trap "exit 5" INT; echo ready; while :; do sleep 0.05; done'
	soon 'podman logs c | grep -q ready'
	podman kill -s USR1 c >/dev/null
	soon 'podman logs c | grep -q one'
	podman kill -s 12 c >/dev/null
	soon 'podman logs c | grep -q two'
	podman kill -s SIGINT c >/dev/null
	same 5 "$(podman wait c)"
	status 125 podman kill c
	gone c
}
t_kill_realtime() {
	up c -- sh -c 'trap "exit 6" 40; echo ready; while :; do sleep 0.05; done'
	soon 'podman logs c | grep -q ready'
	podman kill -s RTMIN+6 c >/dev/null
	same 6 "$(podman wait c)"
	gone c
}
t_restart() {
	up c -v "$PWD:/v" -- sh -c 'echo x >>/v/starts; sleep 100'
	soon 'test -s starts'
	local first
	first=$(pid_of c)
	podman restart -t 0 c >/dev/null
	soon 'test "$(wc -l <starts)" = 2'
	differ "$first" "$(pid_of c)"
	same running "$(inspect '{{.State.Status}}' c)"
	gone c
}
t_restart_policy() {
	up c --restart on-failure:2 -v "$PWD:/v" -- sh -c 'echo x >>/v/starts; exit 1'
	soon 'test "$(wc -l <starts)" = 3'
	soon 'test "$(inspect "{{.State.Status}} {{.RestartCount}}" c)" = "exited 2"'
	gone c
}
t_wait() {
	up c -- sh -c 'sleep 0.3; exit 9'
	same 9 "$(podman wait c)"
	gone c
}
t_run_timeout() {
	status 255 podman run --network none --name c --timeout 1 $image sleep 100
	gone c
}
t_pause() {
	up c -v "$PWD:/v" -- sh -c 'while :; do echo x >>/v/beats; sleep 0.02; done'
	soon 'test -s beats'
	podman pause c >/dev/null
	same paused "$(inspect '{{.State.Status}}' c)"
	local before
	before=$(wc -l <beats)
	sleep 0.3
	same "$before" "$(wc -l <beats)"
	differ 0 "$(podman exec c true >/dev/null 2>&1; echo $?)"
	podman unpause c >/dev/null
	soon "test \$(wc -l <beats) -gt $before"
	same running "$(inspect '{{.State.Status}}' c)"
	gone c
}
t_stop_paused() {
	up c -- sleep 100
	podman pause c >/dev/null
	podman rm -f -t 0 c >/dev/null
	status 1 podman container exists c
}
t_inspect() {
	up c --label user=1 -- sleep 100
	same "sleep" "$(tr '\0' ' ' <"/proc/$(pid_of c)/cmdline" | cut -d' ' -f1)"
	same "$RUNTIME_PATH" "$(podman info -f '{{.Host.OCIRuntime.Path}}')"
	same "running 1 $RUNTIME" "$(inspect '{{.State.Status}} {{.Config.Labels.user}} {{.OCIRuntime}}' c)"
	same "$(pid_of c)" "$(cat "$(inspect '{{.PidFile}}' c)")"
	gone c
}
t_info() {
	has "version" "$(podman info -f '{{.Host.OCIRuntime.Version}}')"
	same "$RUNTIME" "$(podman info -f '{{.Host.OCIRuntime.Name}}')"
}
t_ps() {
	up c -- sleep 100
	same "c running" "$(podman ps --format '{{.Names}} {{.State}}')"
	podman kill c >/dev/null
	soon 'test -z "$(podman ps -q)"'
	has "Exited (137)" "$(podman ps -a --format '{{.Status}}')"
	gone c
}
t_rm_leaves_nothing() {
	up c --memory 64m -- sleep 100
	local id pid
	id=$(inspect '{{.Id}}' c) pid=$(pid_of c)
	differ "" "$(find /sys/fs/cgroup -type d -name "*$id*")"
	gone c
	same "" "$(find /sys/fs/cgroup -type d -name "*$id*")"
	same "" "$(grep "$id" /proc/mounts || true)"
	test ! -e "/proc/$pid"
}
t_many_at_once() {
	local n
	for n in 1 2 3 4 5 6; do run $image echo "number $n" >out.$n 2>&1 & done
	wait
	for n in 1 2 3 4 5 6; do same "number $n" "$(cat out.$n)"; done
}
t_events() {
	up c -- true
	podman wait c >/dev/null
	gone c
	same "create init start died remove" "$(podman events --stream=false --filter container=c --since 1m \
		--format '{{.Status}}' | grep -E '^(create|init|start|died|remove)$' | tail -n 5 | xargs)"
}
t_files_of_ids() {
	podman run -d --network none --name c --cidfile cid --pidfile pid --conmon-pidfile conmon $image sleep 100 >/dev/null
	same "$(inspect '{{.Id}}' c)" "$(cat cid)"
	same "$(pid_of c)" "$(cat pid)"
	same conmon "$(cat "/proc/$(cat conmon)/comm")"
	gone c
}

### what goes in and out
t_logs() {
	up c -- sh -c 'seq 20000; echo end >&2'
	podman wait c >/dev/null
	same 20001 "$(podman logs c 2>&1 | wc -l)"
	same "19999 20000" "$(podman logs --tail 3 c 2>/dev/null | tail -n 2 | xargs)"
	gone c
}
t_logs_follow() {
	up c -- sh -c 'for n in 1 2 3; do echo $n; sleep 0.1; done'
	same "1 2 3" "$(podman logs -f c | xargs)"
	gone c
}
t_log_none() {
	same out "$(run --log-driver none $image echo out)"
}
t_attach() {
	up c -i -- sh -c 'read line; echo "got $line"'
	same "got it" "$(echo it | podman attach c)"
	gone c
}
t_tty() {
	same "/dev/pts/0" "$(terminal podman run --rm --network none -it $image tty)"
	same "33 99" "$(terminal bash -c "stty rows 33 cols 99; podman run --rm --network none -it $image sh -c 'sleep 0.5; stty size'")"
}
t_tty_detached() {
	up c -t -- sh -c 'tty; ls -l /proc/self/fd/0 | grep -o "/dev/.*"; sleep 100'
	soon 'test "$(podman logs c | wc -l)" -ge 2'
	same "/dev/pts/0 /dev/pts/0" "$(podman logs c | tr -d '\r' | xargs)"
	same "crw--w---- 0 5" "$(podman exec c stat -c '%A %u %g' /dev/pts/0)"
	same "crw--w----" "$(podman exec c stat -c '%A' /dev/console)"
	gone c
}
t_tty_resize() {
	up c -it -- sh -c 'trap "stty size" WINCH; while :; do sleep 0.05; done'
	# The container gets the new size of the attached terminal.
	terminal bash -c 'stty rows 21 cols 71; timeout --foreground 2 podman attach --sig-proxy=false c' || true
	has "21 71" "$(podman logs c)"
	gone c
}
t_preserve_fds() {
	echo through >file
	same through "$(run --preserve-fds 1 $image cat /proc/self/fd/3 3<file)"
	same "no" "$(run $image sh -c 'test -e /proc/self/fd/7 && echo yes || echo no' 7<file)"
}
t_cp() {
	up c -- sleep 100
	echo inward >file
	podman cp file c:/tmp/file
	same inward "$(podman exec c cat /tmp/file)"
	podman exec c sh -c 'mkdir /d; echo outward >/d/f'
	podman cp c:/d d
	same outward "$(cat d/f)"
	podman kill c >/dev/null
	podman wait c >/dev/null
	# Podman's clean-up unmounts it meanwhile.
	until_true 5 podman cp c:/d/f stopped
	same outward "$(cat stopped)"
	gone c
}
t_commit() {
	podman run --network none --name c $image sh -c 'echo kept >/kept' >/dev/null
	podman commit -q c localhost/committed >/dev/null
	same kept "$(run localhost/committed cat /kept)"
	gone c
	podman rmi -f localhost/committed >/dev/null
}
t_commit_running() {
	up c -- sh -c 'echo kept >/kept; sleep 100'
	soon 'podman exec c test -s /kept'
	podman commit -q --pause c localhost/committed >/dev/null
	same running "$(inspect '{{.State.Status}}' c)"
	same kept "$(run localhost/committed cat /kept)"
	gone c
	podman rmi -f localhost/committed >/dev/null
}
t_diff() {
	podman run --network none --name c $image sh -c 'touch /new; rm /etc/group' >/dev/null
	has "A /new" "$(podman diff c)"
	has "D /etc/group" "$(podman diff c)"
	gone c
}
t_export() {
	podman run --network none --name c $image sh -c 'echo text >/new' >/dev/null
	podman export c >c.tar
	same text "$(tar -xOf c.tar new)"
	gone c
}
t_mount() {
	up c -- sh -c 'echo text >/new; sleep 100'
	soon 'podman exec c test -s /new'
	same text "$(cat "$(podman mount c)/new")"
	podman umount c >/dev/null
	gone c
}

### exec
t_exec() {
	up c -- sleep 100
	same "here 1" "$(podman exec c sh -c 'echo here $(pidof sleep)')"
	status 7 podman exec c sh -c 'exit 7'
	status 137 podman exec c sh -c 'kill -9 $$'
	same "a b" "$(echo a b | podman exec -i c cat)"
	same "/etc two" "$(podman exec -w /etc -e one=two c sh -c 'echo $PWD $one')"
	same "uid=1000(user) gid=1000(user) groups=2000(extra)" "$(podman exec -u user c id)"
	same "uid=7 gid=8" "$(podman exec -u 7:8 c id)"
	gone c
}
t_exec_tty() {
	up c -- sleep 100
	same "/dev/pts/0" "$(terminal podman exec -it c tty)"
	same "33 99" "$(terminal bash -c "stty rows 33 cols 99; podman exec -it c sh -c 'sleep 0.5; stty size'")"
	gone c
}
t_exec_detached() {
	up c -- sleep 100
	podman exec -d c sh -c 'echo ran >/ran' >/dev/null
	soon 'podman exec c test -s /ran'
	same ran "$(podman exec c cat /ran)"
	gone c
}
t_exec_errors() {
	up c -- sleep 100
	status 127 podman exec c no-such-program
	has 'executable file not found in $PATH' "$said"
	status 127 podman exec c /no/such
	has 'no such file or directory' "$said"
	status 126 podman exec c /etc/passwd
	has 'permission denied' "$said"
	# Their numbers differ by runtime and release.
	fails podman exec c /etc
	fails podman exec -u nobody-there c true
	same running "$(inspect '{{.State.Status}}' c)"
	podman kill c >/dev/null
	podman wait c >/dev/null
	fails podman exec c true
	gone c
}
t_exec_preserve_fds() {
	up c -- sleep 100
	echo through >file
	same through "$(podman exec --preserve-fds 1 c cat /proc/self/fd/3 3<file)"
	gone c
}
t_exec_capabilities() {
	up c --cap-drop all --cap-add chown --security-opt no-new-privileges -- sleep 100
	same "0000000000000001 1" "$(podman exec c sh -c 'grep -E "^(CapEff|NoNewPrivs)" /proc/self/status | cut -f2 | xargs')"
	same "2" "$(podman exec c sh -c 'grep -E "^Seccomp:" /proc/self/status | cut -f2')"
	same "0000000000000000" "$(podman exec -u user c sh -c 'grep -E "^CapEff" /proc/self/status | cut -f2')"
	same "$(run --privileged $image grep CapEff /proc/self/status)" "$(podman exec --privileged c grep CapEff /proc/self/status)"
	gone c
}
t_exec_same_cgroup() {
	up c --memory 64m -- sleep 100
	same "$(podman exec c cat /proc/1/cgroup)" "$(podman exec c cat /proc/self/cgroup)"
	gone c
}
t_exec_when_init_ends() {
	up c -- sleep 1
	local began=$SECONDS
	status 137 podman exec c sleep 100
	[ $((SECONDS - began)) -lt 20 ]
	gone c
}
t_top() {
	up c -- sh -c 'sleep 100; true'
	soon 'podman top c args | grep -q "sleep 100"'
	same "COMMAND sh -c sleep 100; true sleep 100" "$(podman top c args | xargs)"
	has "$(pid_of c)" "$(podman top c hpid)"
	gone c
}
t_stats() {
	up c --memory 64m --pids-limit 50 -- sleep 100
	same "c 1" "$(podman stats --no-stream --format '{{.Name}} {{.PIDs}}' c)"
	has "/ 67.11MB" "$(podman stats --no-stream --format '{{.MemUsage}}' c)"
	gone c
}

### what surrounds a container
t_init() {
	has "podman-init" "$(run --init $image cat /proc/1/cmdline | tr '\0' ' ')"
	status 9 run --init $image sh -c 'exit 9'
	same 0 "$(run --init $image sh -c '(sleep 0.05 &); sleep 0.3; grep -l "State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l')"
}
t_annotation() {
	up c --annotation org.ship.sails=3 -- sleep 100
	same 3 "$(inspect '{{index .Config.Annotations "org.ship.sails"}}' c)"
	same 3 "$(runtime state "$(inspect '{{.Id}}' c)" | jq -r '.annotations["org.ship.sails"]')"
	same running "$(runtime state "$(inspect '{{.Id}}' c)" | jq -r .status)"
	gone c
}
t_hooks() {
	local stage
	mkdir hooks
	for stage in prestart createRuntime createContainer startContainer poststart poststop; do
		cat >hooks/$stage.json <<-END
			{"version": "1.0.0", "when": {"always": true}, "stages": ["$stage"],
			 "hook": {"path": "/bin/sh", "args": ["sh", "-c", "echo $stage \$STAGE \$(cat) >>$PWD/trace"], "env": ["STAGE=of-$stage", "PATH=/bin"], "timeout": 9}}
		END
	done
	same hello "$(podman --hooks-dir "$PWD/hooks" run --network none --name c -v "$PWD:$PWD" $image echo hello)"
	gone c
	# poststart races with such a short program: each appears once, in any order.
	same "createContainer createRuntime poststart poststop prestart startContainer" "$(cut -d' ' -f1 trace | sort | xargs)"
	# Podman itself chooses where to run the files of the stage `prestart`.
	same "createRuntime createContainer startContainer poststop" "$(cut -d' ' -f1 trace | grep -v 'poststart\|prestart' | xargs)"
	same 6 "$(cut -d' ' -f2 trace | grep -c '^of-')"
	for stage in prestart createRuntime createContainer startContainer poststart poststop; do
		sed -n "s/^$stage [^ ]* //p" trace | jq -e '.ociVersion and .id and .bundle' >/dev/null
	done
	same stopped "$(sed -n 's/^poststop [^ ]* //p' trace | jq -r .status)"
	same created "$(sed -n 's/^startContainer [^ ]* //p' trace | jq -r .status)"
}
t_hook_fails() {
	mkdir hooks
	echo '{"version": "1.0.0", "when": {"always": true}, "stages": ["createRuntime"], "hook": {"path": "/bin/sh", "args": ["sh", "-c", "echo leak below >&2; exit 3"]}}' >hooks/a.json
	status 126 podman --hooks-dir "$PWD/hooks" run --rm --network none $image true
	has "leak below" "$said"
	has "exit status 3" "$said"
	same "" "$(podman ps -aq)"
}
t_sdnotify() {
	local pid
	perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un("notify")) or die; $SIG{ALRM} = sub { exit 1 }; alarm 20;
		while (recv(S, $m, 4096, 0)) { }; while (defined recv(S, $m, 4096, 0)) { print "$m\n"; STDOUT->flush; exit 0 if $m =~ /READY=1/ }' >heard &
	pid=$!
	soon 'test -S notify'
	NOTIFY_SOCKET=$PWD/notify podman run -d --sdnotify container --network none --name c -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro \
		$image /usr/bin/perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); send(S, "READY=1", 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "$!"; sleep 100' >/dev/null
	wait $pid
	has "READY=1" "$(cat heard)"
	gone c
}
t_personality() { same i686 "$(run --personality LINUX32 $image uname -m)"; }
t_runtime_flag() {
	same hello "$(podman --runtime-flag debug run --rm --network none $image echo hello)"
}
t_bad_configuration() {
	fails run --sysctl net.ipv4.no_such_thing=1 $image true
	same "" "$(podman ps -aq)"
}
t_healthcheck() {
	up c --health-cmd 'test -e /well' --health-interval disable -- sleep 100
	status 1 podman healthcheck run c
	podman exec c touch /well
	status 0 podman healthcheck run c
	same healthy "$(inspect '{{.State.Health.Status}}' c)"
	gone c
}
t_pod() {
	local kind
	podman pod create --name p --network none --hostname fleet >/dev/null
	podman run -d --pod p --name c $image sleep 100 >/dev/null
	podman run -d --pod p --name d $image sleep 100 >/dev/null
	for kind in net ipc uts; do same "$(ns $kind "$(pid_of c)")" "$(ns $kind "$(pid_of d)")"; done
	differ "$(ns pid "$(pid_of c)")" "$(ns pid "$(pid_of d)")"
	same "fleet" "$(podman exec d hostname)"
	same "p Running 3" "$(podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}')"
	podman pod stop -t 0 p >/dev/null
	same Exited "$(podman pod inspect --format '{{.State}}' p)"
	podman pod start p >/dev/null
	same running "$(inspect '{{.State.Status}}' d)"
	podman pod rm -f -t 0 p >/dev/null
	same "" "$(podman ps -aq)"
}
t_pod_pause() {
	podman pod create --name p --network none >/dev/null
	podman run -d --pod p --name c "$image" sleep 100 >/dev/null
	podman pod pause p >/dev/null
	same paused "$(inspect '{{.State.Status}}' c)"
	podman pod unpause p >/dev/null
	same running "$(inspect '{{.State.Status}}' c)"
	podman pod rm -f -t 0 p >/dev/null
}
t_pod_shared_pids() {
	podman pod create --name p --network none --share pid,ipc,net,uts >/dev/null
	podman run -d --pod p --name c $image sleep 77 >/dev/null
	has "sleep 77" "$(podman run --rm --pod p $image ps)"
	podman kill c >/dev/null
	same 137 "$(podman wait c)"
	podman pod rm -f -t 0 p >/dev/null
}
t_pod_limits() {
	podman pod create --name p --network none --memory 64m --cpus 0.5 >/dev/null
	podman run -d --pod p --name c $image sleep 100 >/dev/null
	local file=memory.limit_in_bytes
	! unified || file=memory.max
	same 67108864 "$(cat "$(dirname "$(cgroup_of "$(pid_of c)" memory)")/$file")"
	podman pod rm -f -t 0 p >/dev/null
}
t_pod_userns() {
	podman pod create --name p --network none --uidmap 0:100000:1000 --gidmap 0:100000:1000 >/dev/null
	podman run -d --pod p --name c $image sleep 100 >/dev/null
	same "0 100000 1000" "$(podman exec c cat /proc/self/uid_map | xargs)"
	podman pod rm -f -t 0 p >/dev/null
}
t_kube() {
	cat >pod.yaml <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: fleet}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 0
		  initContainers:
		  - {name: first, image: "$image", command: [sh, -c, "echo laid >/shared/keel"], volumeMounts: [{name: shared, mountPath: /shared}]}
		  containers:
		  - name: user
		    image: "$image"
		    command: [sh, -c, "cat /shared/keel; id -u; sleep 100"]
		    securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}
		    resources: {limits: {memory: 64Mi, cpu: 500m}}
		    volumeMounts: [{name: shared, mountPath: /shared}]
		  volumes: [{name: shared, emptyDir: {}}]
	END
	podman kube play --network none pod.yaml >/dev/null
	soon 'test "$(podman logs fleet-user | wc -l)" = 2'
	same "laid 1000" "$(podman logs fleet-user | xargs)"
	same 67108864 "$(limit_of fleet-user memory/memory.limit_in_bytes memory.max)"
	has "kind: Pod" "$(podman kube generate fleet)"
	podman kube down pod.yaml >/dev/null
	same "" "$(podman ps -aq)"
}
t_build() {
	cat >Containerfile <<-END
		FROM $image
		ARG word
		RUN echo \$word built by \$(id -u) >/made
		USER user
		WORKDIR /home
		RUN test "\$(id -un)" = user && test "\$PWD" = /home
		USER root
		RUN --mount=type=tmpfs,target=/t touch /t/x && ! touch /sys/x 2>/dev/null
		CMD cat /made
	END
	podman build -q --network none --build-arg word=well -t localhost/made . >/dev/null
	same "well built by 0" "$(run localhost/made)"
	podman rmi -f localhost/made >/dev/null
	printf 'FROM %s\nRUN exit 7\n' $image >Containerfile
	status 7 podman build --network none . || status 125 podman build --network none .
	has "exit status 7" "$said"
	printf 'FROM %s\nRUN ["no-such-program"]\n' $image >Containerfile
	differ 0 "$(podman build --network none . >out 2>&1; echo $?)"
	has "executable file not found in \$PATH" "$(cat out)"
}
t_checkpoint() {
	up c -- sh -c 'n=0; while :; do n=$((n + 1)); echo $n >/n; sleep 0.05; done'
	soon 'test "$(podman exec c cat /n)" -gt 5'
	podman container checkpoint c >/dev/null
	same "exited true" "$(inspect '{{.State.Status}} {{.State.Checkpointed}}' c)"
	local before
	before=$(cat "$(podman mount c)/n")
	podman umount c >/dev/null
	podman container restore c >/dev/null
	same running "$(inspect '{{.State.Status}}' c)"
	soon "test \"\$(podman exec c cat /n)\" -gt $before"
	gone c
}
t_checkpoint_export() {
	up c -- sh -c 'n=0; while :; do n=$((n + 1)); echo $n >/n; sleep 0.05; done'
	soon 'test "$(podman exec c cat /n)" -gt 5'
	podman container checkpoint --leave-running --export c.tar c >/dev/null
	same running "$(inspect '{{.State.Status}}' c)"
	gone c
	podman container restore --import c.tar --name d >/dev/null
	soon 'test "$(podman exec d cat /n)" -gt 5'
	gone d
}
