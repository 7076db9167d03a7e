# Buildah with isolation `oci`: create, start, `state` until it prints stopped, delete, each called without a log.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container
. /lane/scripts/inside/podman.sh

start() {
	podman_configuration /etc/containers
	buildah pull "oci-archive:$(oci_archive)"
	# Creates what podman creates once and keeps, before leftovers are checked.
	podman run --rm --network none "$image" true
}
# The image's layout alone, under a name that buildah gives it.
oci_archive() {
	mkdir -p "$state/layout"
	tar -C "$state/layout" -xf "$state/box.tar"
	jq '.manifests |= .[:1]' "$state/layout/index.json" >"$state/index.json"
	mv "$state/index.json" "$state/layout/index.json"
	rm "$state/layout/manifest.json"
	tar -C "$state/layout" -cf "$state/layout.tar" .
	echo "$state/layout.tar"
}
stop() { :; }
cleanup() {
	buildah rm --all
	buildah rmi --force localhost/made
}
runtime=(--isolation oci --runtime "$RUNTIME_PATH")
build() { buildah bud --quiet --network none "${runtime[@]}" --tag localhost/made "$@" .; }
# A working container, whose name is printed.
from() { buildah from --name work "$image"; }
inside() { buildah run --network none "${runtime[@]}" "$@"; }

t_bud() {
	cat >Containerfile <<-END
		FROM $image
		ARG word
		RUN echo \$word by \$(id -u) >/made
		USER user
		RUN test "\$(id -un)" = user && echo mine >/home/user/file
		USER root
		RUN ["/bin/sh", "-c", "cat /made /home/user/file >/both"]
	END
	build --build-arg word=built
	buildah from --name work localhost/made
	same "built by 0 mine" "$(inside work cat /both | xargs)"
}
t_bud_documented() {
	printf 'FROM %s\nRUN echo built >/made\n' "$image" >Containerfile
	bash -euxc "$(documented buildah-bud)"
}
t_bud_mounts() {
	cat >Containerfile <<-END
		FROM $image
		RUN --mount=type=tmpfs,target=/t grep -q ' /t tmpfs' /proc/mounts && touch /t/file
		RUN --mount=type=bind,source=file,target=/b cp /b /copy
		RUN --mount=type=cache,target=/c echo kept >/c/file
		RUN --mount=type=secret,id=gold test "\$(cat /run/secrets/gold)" = treasure
		RUN test ! -e /t/file && test ! -s /b && test ! -e /c/file && test ! -e /run/secrets/gold
	END
	echo text >file
	echo treasure >gold
	build --secret id=gold,src=gold
	buildah from --name work localhost/made
	same text "$(inside work cat /copy)"
}
t_bud_fails() {
	printf 'FROM %s\nRUN echo out; echo err >&2; exit 7\n' "$image" >Containerfile
	fails build 2>err
	has "exit status 7" "$(cat err)"
	has "err" "$(cat err)"
	printf 'FROM %s\nRUN ["no-such-program"]\n' "$image" >Containerfile
	fails build 2>err
	has 'executable file not found in $PATH' "$(cat err)"
	same "" "$(runtime list --quiet)"
}
t_run() {
	from
	same "hello from 1" "$(inside work sh -c 'echo hello from $$')"
	same "a b" "$(echo a b | inside work cat)"
	same err "$(inside work sh -c 'echo err >&2' 2>&1 >/dev/null)"
	inside work sh -c 'echo kept >/kept'
	same kept "$(inside work cat /kept)"
	same 3000000 "$(head -c 3000000 /dev/zero | inside work wc -c)"
	same "" "$(runtime list --quiet)"
}
t_run_exit_codes() {
	from
	status 7 inside work sh -c 'exit 7'
	fails inside work no-such-program
	fails inside work /etc/passwd
	same "" "$(runtime list --quiet)"
}
t_run_options() {
	from
	mkdir v && echo text >v/file
	same text "$(inside --volume "$PWD/v:/v:ro" work cat /v/file)"
	fails inside --volume "$PWD/v:/v:ro" work touch /v/new
	same text "$(inside --mount "type=bind,src=$PWD/v,dst=/v" work cat /v/file)"
	same "user /tmp b" "$(inside --user user --workingdir /tmp --env A=b work sh -c 'echo $(id -un) $PWD $A')"
	same "a-ship" "$(inside --hostname a-ship work hostname)"
	same 00000000800415fa "$(inside --cap-drop CAP_CHOWN --cap-add CAP_NET_ADMIN work sh -c 'grep CapEff /proc/self/status | cut -f2')"
	same 2 "$(inside work sh -c 'grep ^Seccomp: /proc/self/status | cut -f2')"
}
t_run_terminal() {
	from
	has "/dev/pts/0" "$(terminal buildah run --terminal --network none "${runtime[@]}" work tty)"
	fails inside --tty=false work tty
}
t_run_killed() {
	local pid
	from
	buildah run --network none "${runtime[@]}" work \
		sh -c 'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.05; done' >out 2>&1 &
	pid=$!
	soon 'grep -q ready out'
	# Buildah forwards the signal with the runtime's `kill`, but handles signals only after `start` has returned, and
	# the container may be faster.
	sleep 1
	kill -TERM $pid
	wait $pid || true
	soon 'test -z "$(runtime list --quiet)"'
}
t_run_network() {
	from
	has "inet " "$(buildah run "${runtime[@]}" work ip -4 addr show eth0)"
	same "1" "$(inside work sh -c 'ls /sys/class/net | wc -l')"
}
t_run_user_namespace() {
	buildah from --name work --userns-uid-map 0:100000:65536 --userns-gid-map 0:100000:65536 "$image"
	same "0 100000 65536" "$(inside work cat /proc/self/uid_map | xargs)"
	same "0" "$(inside work stat -c %u /bin/busybox)"
}
t_commit() {
	from
	inside work sh -c 'echo kept >/kept'
	buildah config --cmd 'cat /kept' work
	buildah commit --quiet work localhost/made
	same kept "$(podman run --rm --network none localhost/made)"
}
t_many() {
	local n
	from
	for n in 1 2 3 4; do inside work sh -c "sleep 0.3; echo number $n" >out.$n 2>&1 & done
	wait
	for n in 1 2 3 4; do same "number $n" "$(cat out.$n)"; done
}
