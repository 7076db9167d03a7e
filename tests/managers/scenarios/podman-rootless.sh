# Podman as an ordinary user with subordinate IDs: podman is root of a user namespace of its own, and so is the runtime.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container
. /lane/scripts/scenarios/podman.sh
. /lane/scripts/scenarios/podman-options.sh
# Root's scenarios apply to a user as well: those below that call only `as_root`.
for function in $(declare -F | sed -n 's/^declare -f t_//p'); do
	eval "root_$function() $(declare -f "t_$function" | sed 1d)"
	unset -f "t_$function"
done
as_root() { "root_${FUNCNAME[1]#t_}"; }

runtime() { podman unshare "$RUNTIME_PATH" "$@"; }
# A user with supplementary groups, and podman as that user.
start() {
	podman_configuration /etc/containers
	chmod 644 "$state/box.tar"
	if ! id sailor 2>/dev/null; then
		groupadd --gid 7777 crew
		useradd --uid 1500 --create-home --groups crew sailor
	fi
	echo sailor:200000:65536 | tee /etc/subuid >/etc/subgid
	install -d -m 700 -o sailor /run/user/1500
	cat >/lane/bin/podman <<-END
		#!/bin/sh
		case \$PWD in /tmp/*) chown sailor: . ;; esac
		exec setpriv --reuid sailor --regid sailor --init-groups env -i PATH="\${PATH#/lane/bin:}" TERM=dumb HOME=/home/sailor \\
			USER=sailor XDG_RUNTIME_DIR=/run/user/1500 PODMAN_IGNORE_CGROUPSV1_WARNING=1 /usr/bin/podman "\$@"
	END
	chmod 755 /lane/bin/podman
	podman load --input "$state/box.tar"
	podman run --rm --network none "$image" true
}
# A cgroup of the user's own, which systemd delegates.
only_delegated() { { unified && [ -d /run/systemd/system ]; } || skip "podman without root wants cgroup v2 and systemd for it"; }

t_run() { as_root; }
t_run_detached() { as_root; }
t_stdin() { as_root; }
t_stderr() { as_root; }
t_environment() { as_root; }
t_exit_codes() { as_root; }
t_create_start() { as_root; }
t_init_container() { as_root; }
t_rm_initialized() { as_root; }
t_stop() { as_root; }
t_stop_signal() { as_root; }
t_stop_timeout() { as_root; }
t_kill() { as_root; }
t_kill_realtime() { as_root; }
t_restart() { as_root; }
t_wait() { as_root; }
t_inspect() { as_root; }
t_ps() { as_root; }
t_files_of_ids() { as_root; }
t_many_at_once() { as_root; }
t_logs() { as_root; }
t_attach() { as_root; }
t_tty() { as_root; }
t_tty_detached() { as_root; }
t_preserve_fds() { as_root; }
t_cp() { as_root; }
t_commit() { as_root; }
t_diff() { as_root; }
t_export() { as_root; }
t_exec() { as_root; }
t_exec_tty() { as_root; }
t_exec_detached() { as_root; }
t_exec_errors() { as_root; }
t_exec_preserve_fds() { as_root; }
t_exec_capabilities() { as_root; }
t_exec_when_init_ends() { as_root; }
t_top() { as_root; }
t_init() { as_root; }
t_annotation() { as_root; }
t_hooks() { as_root; }
t_healthcheck() { as_root; }
t_pod() { as_root; }
t_pod_shared_pids() { as_root; }
t_build() { as_root; }
t_namespaces_container() { as_root; }
t_ipc_none() { as_root; }
t_hostname() { as_root; }
t_user() { as_root; }
t_umask() { as_root; }
t_capabilities() { as_root; }
t_seccomp() { as_root; }
t_no_new_privileges() { as_root; }
t_mask() { as_root; }
t_unprivileged() { as_root; }
t_read_only() { as_root; }
t_devices_standard() { as_root; }
t_tmpfs() { as_root; }
t_volumes() { as_root; }
t_volumes_named() { as_root; }
t_volumes_from() { as_root; }
t_volume_overlay() { as_root; }
t_mount_image() { as_root; }
t_rootfs() { as_root; }
t_secrets() { as_root; }
t_timezone() { as_root; }
t_shm_size() { as_root; }
t_rdt_class() { as_root; }

t_pause() { only_delegated && as_root; }
t_stats() { only_delegated && as_root; }
t_memory() { only_delegated && as_root; }
t_state_directory() {
	up c -- sleep 100
	test -d "/run/user/1500/$RUNTIME/$(inspect '{{.Id}}' c)"
	same 1500 "$(stat -c %u "/proc/$(pid_of c)")"
	gone c
	test ! -e "/run/user/1500/$RUNTIME/$(inspect '{{.Id}}' c 2>/dev/null || echo gone)"
	test -z "$(ls "/run/user/1500/$RUNTIME")"
}
t_kube() {
	printf '%s\n' 'apiVersion: v1' 'kind: Pod' 'metadata: {name: fleet}' 'spec:' '  terminationGracePeriodSeconds: 0' '  containers:' \
		"  - {name: ship, image: \"$image\", command: [sh, -c, 'id -u; sleep 100'], securityContext: {runAsUser: 1000}}" >pod.yaml
	podman kube play --network none pod.yaml >/dev/null
	soon 'test "$(podman logs fleet-ship)" = 1000'
	podman kube down pod.yaml >/dev/null
	same "" "$(podman ps -aq)"
}
t_namespaces_private() {
	local kind
	up c -- sleep 100
	for kind in pid net ipc uts mnt user; do differ "$(ns $kind self)" "$(ns $kind "$(pid_of c)")"; done
	gone c
}
t_namespaces_host() {
	local kind
	podman run -d --name c --pid host --network host --ipc host --uts host "$image" sleep 100 >/dev/null
	for kind in pid net ipc uts; do same "$(ns $kind self)" "$(ns $kind "$(pid_of c)")"; done
	gone c
}
t_network_slirp4netns() {
	has "inet 10.0.2.100" "$(podman run --rm --network slirp4netns "$image" ip -4 addr)"
	podman run -d --name c --network slirp4netns -p 127.0.0.1:8099:80 "$image" sh -c 'while :; do echo served | nc -l -p 80; done' >/dev/null
	soon 'test "$(busybox nc -w 2 127.0.0.1 8099 </dev/null)" = served'
	gone c
}
t_network_pasta() {
	ip link add ship type veth peer name shore
	ip addr add 10.77.0.2/24 dev ship
	ip link set shore up
	ip link set ship up
	ip route add default via 10.77.0.1
	status 0 podman run --rm --network pasta "$image" ip -4 addr
	ip link del ship
	has "inet 10.77.0.2" "$said"
}
t_userns() {
	same "0 1500 1 1 200000 65536" "$(run "$image" cat /proc/self/uid_map | xargs)"
	same "0 0" "$(run "$image" stat -c '%u %g' /bin/busybox)"
	up c --user 5 -- sleep 100
	same 200004 "$(stat -c %u "/proc/$(pid_of c)")"
	gone c
}
t_userns_keep_id() {
	mkdir v && chown sailor: v
	same "1500 1500" "$(run --userns keep-id "$image" sh -c 'echo $(id -u) $(id -g)')"
	run --userns keep-id -v "$PWD/v:/v" "$image" touch /v/mine
	same "1500" "$(stat -c %u v/mine)"
	same "1000 1000" "$(run --userns keep-id:uid=1000,gid=1000 "$image" sh -c 'echo $(id -u) $(id -g)')"
	up c --userns keep-id -- sleep 100
	same 1500 "$(podman exec c id -u)"
	same 0 "$(podman exec -u 0 c id -u)"
	gone c
}
t_userns_nomap() {
	same "0 200000" "$(run --userns nomap "$image" sh -c 'read -r inside outside size </proc/self/uid_map; echo $inside $((outside + 199999))')"
}
t_userns_auto() {
	same "0 1024" "$(run --userns auto:size=1024 "$image" sh -c 'read -r inside outside size </proc/self/uid_map; echo $inside $size')"
}
t_uidmap() {
	same "0 1 100 100 200 50" "$(run --uidmap 0:1:100 --uidmap 100:200:50 --gidmap 0:1:150 "$image" cat /proc/self/uid_map | xargs)"
	same "0 0" "$(run --uidmap 0:1:1000 --gidmap 0:1:1000 "$image" stat -c '%u %g' /bin/busybox)"
}
t_userns_container() {
	up c --userns keep-id -- sleep 100
	podman run -d --name d --network none --userns container:c "$image" sleep 100 >/dev/null
	same "$(ns user "$(pid_of c)")" "$(ns user "$(pid_of d)")"
	gone d
	gone c
}
t_userns_container_all() {
	local kind
	up c --userns keep-id --ipc shareable -- sleep 100
	podman run -d --name d --userns container:c --pid container:c --network container:c --ipc container:c --uts container:c \
		"$image" sleep 50 >/dev/null
	for kind in user pid net ipc uts; do same "$(ns $kind "$(pid_of c)")" "$(ns $kind "$(pid_of d)")"; done
	gone d
	gone c
}
t_pod_userns() {
	podman pod create --name p --network none --userns keep-id >/dev/null
	podman run -d --pod p --name c "$image" sleep 100 >/dev/null
	same 1500 "$(podman exec c id -u)"
	podman pod rm -f -t 0 p >/dev/null
}
t_groups() {
	# The user's own groups would open files of the host, under any name inside.
	up c -- sleep 100
	same "" "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$(pid_of c)/status" | xargs)"
	gone c
}
t_keep_groups() {
	up c --group-add keep-groups -- sleep 100
	has 7777 "$(grep ^Groups: "/proc/$(pid_of c)/status")"
	gone c
}
t_volume_of_the_group() {
	mkdir v && chgrp crew v && chmod 770 v && touch v/file
	fails run -v "$PWD/v:/v" "$image" ls /v
	same file "$(run --group-add keep-groups -v "$PWD/v:/v" "$image" ls /v)"
}
t_volume_chown() {
	mkdir v && touch v/file && chown -R sailor: v
	same "1000 1000" "$(run --user user -v "$PWD/v:/v:U" "$image" stat -c '%u %g' /v/file)"
	same 200999 "$(stat -c %u v/file)"
}
t_volume_of_root() {
	mkdir v && touch v/file && chmod 700 v
	fails run -v "$PWD/v:/v" "$image" ls /v
	fails run --privileged -v "$PWD/v:/v" "$image" ls /v
}
t_privileged() {
	same 000001ffffffffff "$(status_line CapEff --privileged | sed 's/0000003fffffffff\|000001fffeffffff/000001ffffffffff/')"
	same 0 "$(status_line Seccomp --privileged)"
	status 0 run --privileged "$image" sh -c 'mount -t tmpfs none /tmp && umount /tmp'
	fails run --privileged "$image" mknod /dev/kmsg2 c 1 11
}
t_device() {
	same "a,e5" "$(run --device /dev/fuse "$image" stat -c '%t,%T' /dev/fuse)"
	status 0 run --device /dev/fuse "$image" sh -c 'true </dev/fuse'
	fails run --device /dev/no-such "$image" true
}
t_ulimit() {
	same "100 200" "$(run --ulimit nofile=100:200 "$image" sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
}
t_sysctl() {
	same 12 "$(run --sysctl net.ipv4.ip_default_ttl=12 "$image" cat /proc/sys/net/ipv4/ip_default_ttl)"
}
t_cgroups_disabled() {
	same "$(cat /proc/self/cgroup)" "$(run --cgroups disabled --cgroupns host "$image" cat /proc/self/cgroup)"
}
