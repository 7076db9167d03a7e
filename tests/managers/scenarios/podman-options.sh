# Podman as root, the effect of its options: limits, cgroups, namespaces, users, rights, mounts.
# shellcheck shell=bash disable=SC2016,SC2154 # what is in single quotes is for the shell in the container
. /lane/scripts/inside/podman.sh

### limits
t_memory() {
	local more=(--memory-swappiness 10) inside=memory/memory.limit_in_bytes
	! unified || { more=() inside=memory.max; }
	up c --memory 64m --memory-reservation 32m --memory-swap 64m "${more[@]}" -- sleep 100
	same 67108864 "$(limit_of c memory/memory.limit_in_bytes memory.max)"
	same 33554432 "$(limit_of c memory/memory.soft_limit_in_bytes memory.low)"
	unified || same 10 "$(limit_of c memory/memory.swappiness)"
	! unified || same 0 "$(limit_of c memory/ memory.swap.max)"
	same 67108864 "$(podman exec c cat /sys/fs/cgroup/$inside)"
	gone c
}
t_out_of_memory() {
	podman run --network none --name c --memory 16m $image sh -c 'x=x; while :; do x=$x$x; done' >/dev/null 2>&1 || true
	same "137 true" "$(inspect '{{.State.ExitCode}} {{.State.OOMKilled}}' c)"
	gone c
}
# Half of the default share of processors: cpu.shares 512, or less than the weight of 100.
half_of_the_share() {
	if unified; then test "$(limit_of "$1" cpu/ cpu.weight)" -lt 100; else same 512 "$(limit_of "$1" cpu/cpu.shares)"; fi
}
# The processor time of each 0.1 s, in microseconds.
quota_of() { limit_of "$1" cpu/cpu.cfs_quota_us cpu.max | cut -d" " -f1; }
t_cpus() {
	up c --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 -- sleep 100
	same 50000 "$(quota_of c)"
	has 100000 "$(limit_of c cpu/cpu.cfs_period_us cpu.max)"
	half_of_the_share c
	same 0 "$(limit_of c cpuset/cpuset.cpus cpuset.cpus)"
	same 0 "$(podman exec c grep Cpus_allowed_list /proc/1/status | cut -f2)"
	gone c
}
t_pids_limit() {
	up c --pids-limit 20 -- sleep 100
	same 20 "$(limit_of c pids/pids.max pids.max)"
	has "can't fork" "$(podman exec c sh -c 'for n in $(seq 30); do sleep 1 & done' 2>&1)"
	gone c
	up c --pids-limit -1 -- sleep 100
	same max "$(limit_of c pids/pids.max pids.max)"
	gone c
}
t_blkio() {
	local numbers
	numbers=$(sed -n "1{p;q}" /sys/block/*/dev)
	[ -n "$numbers" ] || skip "no block device"
	mknod /dev/disk b "${numbers%:*}" "${numbers#*:}"
	up c --device-read-bps "/dev/disk:1mb" --device-write-iops "/dev/disk:50" -- sleep 100
	if unified; then
		has "$numbers rbps=1048576 wbps=max riops=max wiops=50" "$(limit_of c io/ io.max)"
	else
		has "$numbers 1048576" "$(limit_of c blkio/blkio.throttle.read_bps_device)"
		has "$numbers 50" "$(limit_of c blkio/blkio.throttle.write_iops_device)"
	fi
	gone c
}
t_update() {
	up c --memory 64m --cap-add mknod -- sleep 100
	podman update --memory 96m --cpus 0.25 --pids-limit 33 c >/dev/null
	same 100663296 "$(limit_of c memory/memory.limit_in_bytes memory.max)"
	same 25000 "$(quota_of c)"
	same 33 "$(limit_of c pids/pids.max pids.max)"
	# Other limits and devices are unchanged.
	podman update --cpu-shares 512 c >/dev/null
	same 100663296 "$(limit_of c memory/memory.limit_in_bytes memory.max)"
	half_of_the_share c
	podman exec c sh -c 'true </dev/null && mknod /tmp/other c 10 229 && ! true </tmp/other' 2>/dev/null
	gone c
}
t_ulimit() {
	same "100 200" "$(run --ulimit nofile=100:200 $image sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
	same "0" "$(run --ulimit core=0 $image sh -c 'ulimit -c')"
	same "1024" "$(run $image sh -c 'ulimit -n')"
}
t_oom_score_adj() { same 500 "$(run --oom-score-adj 500 $image cat /proc/self/oom_score_adj)"; }
t_shm_size() { has " 1.0M" "$(run --shm-size 1m $image df -h /dev/shm)"; }
t_rdt_class() {
	[ ! -d /sys/fs/resctrl ] || skip "a machine with resource control"
	fails run --rdt-class no-such $image true
}

### cgroups
# The relevant line of /proc/PID/cgroup.
hierarchy=:memory:
! unified || hierarchy=^0::
t_cgroups_disabled() {
	same "$(cat /proc/self/cgroup)" "$(run --cgroups disabled --cgroupns host $image cat /proc/self/cgroup)"
}
t_cgroups_no_conmon() {
	up c --cgroups no-conmon -- sleep 100
	has "libpod-$(inspect '{{.Id}}' c)" "$(cat "/proc/$(pid_of c)/cgroup")"
	gone c
}
t_cgroups_split() {
	unified || skip "podman wants cgroup v2 alone for it"
	status 0 run --cgroups split $image true
}
t_cgroup_parent() {
	up c --cgroup-parent /a/b -- sleep 100
	has ":/a/b/libpod-$(inspect '{{.Id}}' c)" "$(grep -E "$hierarchy" "/proc/$(pid_of c)/cgroup")"
	gone c
	# The caller must remove the parent once conmon has left it.
	soon 'find /sys/fs/cgroup/{*/,}a -depth -type d -exec rmdir {} +; [ -z "$(ls -d /sys/fs/cgroup/{*/,}a 2>/dev/null)" ]'
}
t_cgroupns() {
	local place=/sys/fs/cgroup/memory
	! unified || place=/sys/fs/cgroup
	same "/" "$(run --cgroupns private $image sh -c "grep -E '$hierarchy' /proc/self/cgroup | cut -d: -f3")"
	has "libpod-" "$(run --cgroupns host $image sh -c "grep -E '$hierarchy' /proc/self/cgroup | cut -d: -f3")"
	same "ro" "$(run $image sh -c "grep ' $place ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1")"
}

### namespaces
t_namespaces_private() {
	local kind
	up c -- sleep 100
	for kind in pid net ipc uts mnt; do differ "$(ns $kind self)" "$(ns $kind "$(pid_of c)")"; done
	same "$(ns user self)" "$(ns user "$(pid_of c)")"
	gone c
}
t_namespaces_host() {
	local kind
	podman run -d --name c --pid host --network host --ipc host --uts host $image sleep 100 >/dev/null
	for kind in pid net ipc uts; do same "$(ns $kind self)" "$(ns $kind "$(pid_of c)")"; done
	gone c
}
t_namespaces_container() {
	local kind
	up c --ipc shareable -- sleep 100
	podman run -d --name d --pid container:c --network container:c --ipc container:c --uts container:c --cgroupns container:c \
		$image sleep 50 >/dev/null
	for kind in pid net ipc uts cgroup; do same "$(ns $kind "$(pid_of c)")" "$(ns $kind "$(pid_of d)")"; done
	same "sleep 100" "$(podman exec d sh -c 'tr "\0" " " </proc/1/cmdline | xargs')"
	gone d
	same running "$(inspect '{{.State.Status}}' c)"
	gone c
}
t_namespaces_path() {
	local pid kind
	unshare -n -i -u sleep 100 &
	pid=$!
	soon "test \"\$(readlink /proc/$pid/ns/net)\" != \"\$(readlink /proc/self/ns/net)\""
	podman run -d --name c --network "ns:/proc/$pid/ns/net" --ipc "ns:/proc/$pid/ns/ipc" --uts "ns:/proc/$pid/ns/uts" \
		$image sleep 100 >/dev/null
	for kind in net ipc uts; do same "$(ns $kind $pid)" "$(ns $kind "$(pid_of c)")"; done
	gone c
	kill $pid
}
t_pid_host_kill() {
	podman run -d --name c --network none --pid host $image sh -c 'sleep 101 & sleep 102' >/dev/null
	soon 'podman top c args | grep -q "sleep 101"'
	podman kill c >/dev/null
	podman wait c >/dev/null
	soon '! grep -qz "^101$" /proc/[0-9]*/cmdline 2>/dev/null'
	gone c
}
t_ipc_none() {
	same "0" "$(run --ipc none $image sh -c 'grep -c " /dev/shm " /proc/mounts || true')"
}
t_hostname() {
	same "a-user a-user" "$(run --hostname a-user $image sh -c 'echo $(hostname) $HOSTNAME')"
	has "a-user" "$(run --hostname a-user $image cat /etc/hosts /etc/hostname)"
}
t_network_bridge() {
	up=$(podman run --rm $image sh -c 'ip -4 addr show eth0 | grep -o "inet [0-9.]*"; ip route | grep -c default')
	has "inet 10.88" "$up"
}
t_network_ports() {
	podman run -d --name c -p 127.0.0.1:8099:80 $image sh -c 'while :; do echo served | nc -l -p 80; done' >/dev/null
	soon 'test "$(busybox nc -w 2 127.0.0.1 8099 </dev/null)" = served'
	gone c
}
t_network_of_its_own() {
	podman network create --subnet 10.99.0.0/24 hull >/dev/null
	has "inet 10.99.0.77" "$(podman run --rm --network hull --ip 10.99.0.77 $image ip -4 addr)"
	podman network rm hull >/dev/null
}
t_sysctl() {
	same "12 7777" "$(run --sysctl net.ipv4.ip_default_ttl=12 --sysctl kernel.msgmax=7777 $image \
		cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax | xargs)"
	differ 0 "$(run --sysctl kernel.no_such=1 $image true >/dev/null 2>&1; echo $?)"
}

### users
t_user() {
	same "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)" "$(run --user user $image id)"
	same "uid=1000(user) gid=2000(extra) groups=2000(extra)" "$(run --user 1000:extra $image id)"
	same "77 0" "$(run --user 77 $image sh -c 'echo $(id -u) $(id -g)')"
	same "/home/user" "$(run --user user $image sh -c 'echo $HOME')"
	same "0 5 6" "$(run --group-add 5 --group-add 6 $image id -G)"
	differ 0 "$(run --user no-such $image true >/dev/null 2>&1; echo $?)"
}
t_keep_groups() {
	same "0 7 9" "$(setpriv --groups 7,9 podman run --rm --network none --group-add keep-groups $image id -G | xargs -n1 | sort -n | xargs)"
}
t_umask() {
	same "0077" "$(run --umask 077 $image sh -c umask)"
	same "0022" "$(run $image sh -c umask)"
}
t_uidmap() {
	same "0 100000 1000 1000 200000 1000" "$(run --uidmap 0:100000:1000 --uidmap 1000:200000:1000 --gidmap 0:100000:2000 $image \
		cat /proc/self/uid_map | xargs)"
	same "0 0" "$(run --uidmap 0:100000:1000 --gidmap 0:100000:1000 $image stat -c '%u %g' /bin/sh)"
	up c --uidmap 0:100000:1000 --gidmap 0:100000:1000 --user 5 -- sleep 100
	same "100005" "$(stat -c %u "/proc/$(pid_of c)")"
	same "5" "$(podman exec c id -u)"
	same "0" "$(podman exec -u 0 c id -u)"
	gone c
}
t_userns_auto() {
	same "0 1024" "$(run --userns auto:size=1024 $image sh -c 'read -r inside outside size </proc/self/uid_map; echo $inside $size')"
}
t_userns_container() {
	up c --uidmap 0:100000:1000 --gidmap 0:100000:1000 -- sleep 100
	podman run -d --name d --network none --userns container:c $image sleep 100 >/dev/null
	same "$(ns user "$(pid_of c)")" "$(ns user "$(pid_of d)")"
	gone d
	gone c
}
t_userns_network() {
	has "inet 10.88" "$(podman run --rm --uidmap 0:100000:1000 --gidmap 0:100000:1000 $image ip -4 addr)"
}

### rights
t_capabilities() {
	same 00000000800405fb "$(status_line CapEff)"
	same 0000000000000000 "$(status_line CapEff --cap-drop all)"
	same 0000000000003000 "$(status_line CapEff --cap-drop all --cap-add net_admin --cap-add net_raw)"
	same 00000000a80425fb "$(status_line CapBnd --cap-add audit_write --cap-add mknod --cap-add net_raw)" || \
		same 00000000a80425fb "$(status_line CapBnd --cap-add mknod --cap-add net_raw --cap-add audit_write)"
	same 00000000800405fb "$(status_line CapBnd --user user)"
	same 0000000000000000 "$(status_line CapEff --user user)"
	same 0000000000001000 "$(status_line CapEff --user user --cap-add net_admin)"
	same 0000000000001000 "$(status_line CapAmb --user user --cap-add net_admin)"
}
t_privileged() {
	same "$(grep ^CapBnd /proc/self/status | cut -f2)" "$(status_line CapEff --privileged)"
	same 0 "$(status_line Seccomp --privileged)"
	same "rw" "$(run --privileged $image sh -c 'grep " /sys " /proc/mounts | cut -d" " -f4 | cut -d, -f1')"
	same "0" "$(run --privileged $image sh -c 'grep -c " /proc/.*tmpfs\| /proc/sys " /proc/mounts || true')"
	status 0 run --privileged $image sh -c 'test -c /dev/fuse && mount -t tmpfs none /tmp && umount /tmp'
}
t_unprivileged() {
	fails run $image mount -t tmpfs none /tmp
	status 1 run $image sh -c 'echo 1 2>/dev/null >/proc/sys/kernel/panic'
	same "ro" "$(run $image sh -c 'grep " /sys " /proc/mounts | cut -d" " -f4 | cut -d, -f1')"
	same 0 "$(run $image sh -c 'wc -c </proc/timer_list')"
	same 0 "$(run $image sh -c 'ls -A /proc/acpi /sys/firmware 2>/dev/null | grep -c "^[^/]" || true')"
}
t_seccomp() {
	same 2 "$(status_line Seccomp)"
	same 0 "$(status_line Seccomp --security-opt seccomp=unconfined)"
	cat >profile.json <<-'END'
		{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
		 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
	END
	status 1 run --security-opt seccomp=profile.json $image mkdir /new
	has "No space left on device" "$said"
	status 0 run --security-opt seccomp=profile.json $image touch /new
}
t_no_new_privileges() {
	same 1 "$(status_line NoNewPrivs --security-opt no-new-privileges)"
	same 0 "$(status_line NoNewPrivs)"
}
t_mask() {
	same 0 "$(run --security-opt mask=/etc/passwd:/home $image sh -c 'cat /etc/passwd | wc -c')"
	same "" "$(run --security-opt mask=/home $image ls /home)"
	differ 0 "$(run --security-opt unmask=/proc/timer_list $image sh -c 'wc -c </proc/timer_list' 2>&1)"
	same "0" "$(run --security-opt unmask=ALL $image sh -c 'grep -c " /proc/" /proc/mounts || true')"
}
t_label_disable() { status 0 run --security-opt label=disable --security-opt apparmor=unconfined $image true; }
t_read_only() {
	status 1 run --read-only $image touch /new
	has "Read-only file system" "$said"
	status 0 run --read-only $image touch /tmp/new /run/new /dev/shm/new
	status 1 run --read-only --read-only-tmpfs=false $image touch /tmp/new
}
t_device() {
	same "a,e5" "$(run --device /dev/fuse $image stat -c '%t,%T' /dev/fuse)"
	same "a,e5" "$(run --device /dev/fuse:/dev/other:rwm $image stat -c '%t,%T' /dev/other)"
	status 0 run --device /dev/fuse:/dev/log:r $image sh -c ': </dev/log'
	status 1 run --device /dev/fuse:/dev/log:r $image sh -c 'echo >/dev/log'
	has "Operation not permitted" "$said"
	status 1 run --cap-add mknod $image sh -c 'mknod /k c 10 229 && : </k'
	status 0 run --cap-add mknod --device-cgroup-rule 'c 10:* rm' $image sh -c 'mknod /k c 10 229 && : </k'
	status 125 run --device /dev/no-such $image true
}
t_devices_standard() {
	# `core` if the kernel has /proc/kcore.
	same "console fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero" "$(run -t $image ls -1 /dev | grep -v ^core | sort | tr -d '\r' | xargs)"
	same "crw-rw-rw- 1,3" "$(run $image stat -c '%A %t,%T' /dev/null)"
}

### mounts
t_tmpfs() {
	has "size=1024k" "$(run --tmpfs /t:size=1m,mode=700,noexec $image grep ' /t ' /proc/mounts)"
	has "noexec" "$(run --tmpfs /t:size=1m,mode=700,noexec $image grep ' /t ' /proc/mounts)"
	same "drwx------" "$(run --tmpfs /t:size=1m,mode=700 $image stat -c %A /t)"
	# Podman copies the directory below a new tmpfs into it.
	has "passwd" "$(run --tmpfs /etc $image ls /etc)"
	has "passwd" "$(run --mount type=tmpfs,dst=/etc $image ls /etc)"
	same "" "$(run --mount type=tmpfs,dst=/etc,notmpcopyup $image ls /etc | grep passwd || true)"
}
t_volumes() {
	mkdir v && echo text >v/file && chmod 777 v
	same text "$(run -v "$PWD/v:/v" $image cat /v/file)"
	same text "$(run -v "$PWD/v/file:/deep/er/file:ro" $image cat /deep/er/file)"
	status 1 run -v "$PWD/v:/v:ro" $image touch /v/new
	has "Read-only file system" "$said"
	run -v "$PWD/v:/v:rw" $image touch /v/new
	test -e v/new
	status 0 run -v "$PWD/v:/v:z" $image cat /v/file
	has "noexec" "$(run -v "$PWD/v:/v:noexec,nosuid,nodev" $image grep ' /v ' /proc/mounts)"
	same text "$(run --mount "type=bind,src=$PWD/v,dst=/v,ro" $image cat /v/file)"
}
t_volumes_named() {
	podman volume create extra >/dev/null
	run -v extra:/v $image sh -c 'echo kept >/v/kept'
	same kept "$(run -v extra:/v:ro $image cat /v/kept)"
	# A new volume gets the files of the image.
	has passwd "$(run -v fresh:/etc $image ls /etc)"
	podman volume rm extra fresh >/dev/null
}
t_volumes_from() {
	up c -v "$PWD:/v" -- sleep 100
	echo text >file
	same text "$(run --volumes-from c $image cat /v/file)"
	gone c
}
t_volume_overlay() {
	mkdir v && echo text >v/file
	same "text 2" "$(run -v "$PWD/v:/v:O" $image sh -c 'touch /v/new; echo $(cat /v/file) $(ls /v | wc -l)')"
	same file "$(ls v)"
}
t_volume_idmap() {
	mkdir v && echo text >v/file && chown 5:6 v/file
	same "5 6 text" "$(run --uidmap 0:100000:1000 --gidmap 0:100000:1000 -v "$PWD/v:/v:idmap" $image sh -c 'echo $(stat -c "%u %g" /v/file) $(cat /v/file)')"
	run --uidmap 0:100000:1000 --gidmap 0:100000:1000 -v "$PWD/v:/v:idmap" $image sh -c 'echo x >/v/new; chown 7:8 /v/new'
	same "7 8" "$(stat -c '%u %g' v/new)"
}
t_volume_chown() {
	mkdir v && touch v/file
	same "1000 1000" "$(run --user user -v "$PWD/v:/v:U" $image stat -c '%u %g' /v/file)"
}
t_propagation() {
	local word
	mkdir v
	for word in rshared:shared rslave:master rprivate:none; do
		run -v "$PWD/v:/v:${word%:*}" $image sh -c 'grep " /v " /proc/self/mountinfo | sed "s/ - .*//"' >optional
		case $word in
		*:none) same "" "$(grep -o 'shared\|master' optional || true)" ;;
		*) has "${word#*:}:" "$(cat optional)" ;;
		esac
	done
	# A mount made outside propagates to a slave inside.
	up c -v "$PWD/v:/v:rslave" -- sleep 100
	mkdir v/m
	mount -t tmpfs tmpfs v/m
	touch v/m/file
	podman exec c test -e /v/m/file
	umount v/m
	gone c
	# A mount made inside propagates to a shared mount outside.
	up c --privileged -v "$PWD/v:/v:rshared" -- sh -c 'mount -t tmpfs tmpfs /v/m && touch /v/m/out; sleep 100'
	soon 'test -e v/m/out'
	gone c
	umount v/m
}
t_mount_image() {
	same "root:x:0:0:root:/root:/bin/sh" "$(run --mount type=image,src=$image,dst=/image $image head -n 1 /image/etc/passwd)"
}
t_rootfs() {
	mkdir -p r/{bin,etc,proc,sys,dev,run} && cp "$(command -v busybox)" r/bin/busybox && chmod 777 r r/*
	same "hello" "$(run --rootfs "$PWD/r" /bin/busybox echo hello)"
	run --rootfs "$PWD/r:O" /bin/busybox touch /new
	test ! -e r/new
}
t_secrets() {
	printf treasure | podman secret create gold - >/dev/null
	same treasure "$(run --secret gold $image cat /run/secrets/gold)"
	same "-r-------- 1000" "$(run --secret gold,uid=1000,mode=0400 $image stat -c '%A %u' /run/secrets/gold)"
	same treasure "$(run --secret gold,type=env,target=GOLD $image sh -c 'echo $GOLD')"
	podman secret rm gold >/dev/null
}
t_systemd() {
	local cgroups="/sys/fs/cgroup/systemd cgroup"
	! unified || cgroups="/sys/fs/cgroup cgroup2"
	podman run -d --name c --network none --systemd=always $image sh -c 'cat /proc/mounts; echo $container; sleep 100' >/dev/null
	soon 'podman logs c | grep -q podman'
	has " /run tmpfs" "$(podman logs c)"
	has " /tmp tmpfs" "$(podman logs c)"
	has " $cgroups rw" "$(podman logs c)"
	same 37 "$(inspect '{{.Config.StopSignal}}' c | sed 's/SIGRTMIN+3/37/')"
	gone c
}
t_timezone() {
	same "JST" "$(run --tz Asia/Tokyo $image date +%Z)"
}
