# The file systems of a lane, for the script that is the first process of its namespaces. The current directory is the lane's root.
# shellcheck shell=bash

# mount_cgroups HIERARCHIES OWN [SKIPPED-TYPE]
# HIERARCHIES is the text that `hierarchies` printed on the host; OWN the name of the cgroup for the lane's own processes if cgroup2 is alone.
mount_cgroups() {
	local place type options dir
	if [ "$(awk 'END {print NR}' <<<"$1")" = 1 ] && [[ $1 = *' cgroup2 '* ]]; then
		mount -t cgroup2 cgroup2 sys/fs/cgroup
		# A cgroup whose children have controllers may not have processes.
		mkdir "sys/fs/cgroup/$2"
		echo 0 >"sys/fs/cgroup/$2/cgroup.procs"
		echo 1 >"sys/fs/cgroup/$2/cgroup.procs"
		# The script outside moves the process that is outside of these namespaces.
		for _ in {1..100}; do
			[ -n "$(<sys/fs/cgroup/cgroup.procs)" ] || return 0
			sleep 0.1
		done
		echo "broken another process is in the lane's cgroup"
		exit 1
	fi
	mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
	while read -r place type options; do
		[ "$type" != "${3:-}" ] || continue
		dir=sys/fs/cgroup/$(basename "$place")
		mkdir "$dir"
		case $options in
		-) options= ;;
		name=*) options=none,$options ;;
		esac
		mount -t "$type" ${options:+-o "$options"} "$type" "$dir"
	done <<<"$1"
}

make_devices() {
	local name numbers
	mount -t tmpfs -o mode=755 dev dev
	while read -r name numbers; do
		# shellcheck disable=SC2086 # major and minor
		mknod -m 666 "dev/$name" c $numbers
	done <<-END
		null 1 3
		zero 1 5
		full 1 7
		random 1 8
		urandom 1 9
		tty 5 0
		fuse 10 229
	END
	mkdir dev/{net,pts,shm,mqueue}
	mknod -m 666 dev/net/tun c 10 200
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
	mount -t tmpfs -o mode=1777 shm dev/shm
	mount -t mqueue mqueue dev/mqueue
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	ln -s fd/0 dev/stdin
	ln -s fd/1 dev/stdout
	ln -s fd/2 dev/stderr
}
