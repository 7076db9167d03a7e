# Cgroups of a lane, for scripts that source this file: one in every hierarchy, below this process's own.
# shellcheck shell=bash

# Every hierarchy: its mount point, type and options, once each.
hierarchies() {
	awk '{
		for (n = 7; $n != "-"; n++);
		type = $(n + 1)
		if (type !~ /^cgroup2?$/ || $4 != "/") next
		options = ""
		count = split($(n + 3), words, ",")
		for (w = 1; w <= count; w++)
			if (words[w] !~ /^(rw|ro|xattr|clone_children|release_agent=.*|nsdelegate|memory_.*|favordynmods)$/)
				options = options (options == "" ? "" : ",") words[w]
		if (!seen[type options]++) print $5, type, (options == "" ? "-" : options)
	}' /proc/self/mountinfo
}

# remove_stale_cgroups HIERARCHIES PREFIX
# Cgroups of a lane that was killed: they are old, and have no processes.
remove_stale_cgroups() {
	local place stale
	while read -r place _; do
		# Cgroups of others may disappear meanwhile.
		{ find "$place" -maxdepth 1 -name "$2-*" -mmin +5 2>/dev/null || true; } | while read -r stale; do
			[ -n "$(find "$stale" -name cgroup.procs -exec cat {} + 2>/dev/null)" ] || find "$stale" -depth -type d -exec rmdir {} + 2>/dev/null || true
		done
	done <"$1"
}

# remove_cgroups HIERARCHIES NAME
remove_cgroups() {
	local left=0 place try
	while read -r place _; do
		[ -d "$place/$2" ] || continue
		for try in 1 2 3 4 5 6 7 8 9 10; do
			find "$place/$2" -depth -type d -exec rmdir {} + 2>/dev/null && break
			sleep "0.$try"
		done
		[ ! -d "$place/$2" ] || { echo "lane: cannot remove $place/$2" >&2; left=1; }
	done <"$1"
	return "$left"
}

# enter_cgroups HIERARCHIES NAME
# Moves this process into new cgroups of that name.
enter_cgroups() {
	local place type options dir
	while read -r place type options; do
		dir=$place/$2
		mkdir "$dir"
		if [[ ,$options, = *,cpuset,* ]]; then
			cat "$place/cpuset.cpus" >"$dir/cpuset.cpus"
			cat "$place/cpuset.mems" >"$dir/cpuset.mems"
		fi
		echo "$BASHPID" >"$dir/cgroup.procs"
	done <"$1"
}

# leave_root_cgroup HIERARCHIES NAME INSIDE PID
# On a host with cgroup2 alone no process may stay in a cgroup whose children have controllers: PID, which waits outside of the lane's
# namespaces, is moved too, as soon as the lane has created INSIDE for its own processes.
leave_root_cgroup() {
	local place try
	[ "$(awk 'END {print NR $2}' "$1")" = 1cgroup2 ] || return 0
	place=$(awk '{print $1}' "$1")/$2
	for try in {1..100}; do
		[ ! -e "$place/$3" ] || break
		sleep 0.1
	done
	mkdir "$place/unshare" && echo "$4" >"$place/unshare/cgroup.procs"
}
