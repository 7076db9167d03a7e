# Functions for scenarios. A scenario is a function t_NAME of scenarios/MANAGER.sh; it runs in a shell of its own under
# `set -e`, in a new directory ($dir), with a unique name for its container ($name), and fails with the first
# command that does. The file also has `start` and `stop` for the manager (run once, with files in /lane/state), and may
# have `cleanup`, which runs after each scenario, `limits[NAME]=SECONDS` (default 120; NAME with hyphens) and `raced TIME`,
# which prints what the manager has logged since TIME about a race of its own that makes scenarios fail: then the scenario is tried again.
#
#   same WANT GOT          two texts are equal
#   has PART TEXT          a text contains another
#   lacks PART TEXT        a text does not contain another
#   status CODE COMMAND…   the command exits with CODE; its output, on both streams, is in $said
#   until_true SECONDS COMMAND…   the command succeeds within that time
#   lives COMMAND-LINE     a process with exactly this command line exists; `dead` is the opposite
#   terminal COMMAND…      the command on a terminal of its own; carriage returns removed
#   documented NAME        a block of docs/MANAGERS.md, marked `tried: NAME` there, with the path of the tested runtime
#   skip REASON            this machine cannot run the scenario
#   $MANAGER $RUNTIME $RUNTIME_PATH    what is tested; $state is /lane/state; $image the image, of busybox

# shellcheck shell=bash disable=SC2034
declare -A limits=()
state=/lane/state
image=localhost/box:1

complain() { echo "EXPECTED $*" >&2; return 1; }
same() { [ "$1" = "$2" ] || complain "«$1» and not «$2»"; }
has() { case $2 in *"$1"*) ;; *) complain "«$1» in «$2»" ;; esac; }
lacks() { case $2 in *"$1"*) complain "no «$1» in «$2»" ;; esac; }
status() {
	local want=$1 got=0
	shift
	said=$("$@" 2>&1) || got=$?
	echo "$said"
	[ "$want" = "$got" ] || complain "status $want and not $got of: $*"
}
until_true() {
	# Longer, for a busy machine.
	local end=$((SECONDS + PATIENCE * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || { complain "within the time: $*"; return 1; }
		sleep 0.1
	done
}
lives() { ps -e -o args= | grep -Fxq -- "$1"; }
dead() { ! lives "$1"; }
terminal() {
	local command
	printf -v command '%q ' "$@"
	# Input without data keeps the terminal open until the command itself exits.
	[ -p "$dir/hold" ] || mkfifo "$dir/hold"
	script --quiet --return --echo never --command "$command" /dev/null <>"$dir/hold" | tr -d '\r'
}
documented() {
	sed -n "/^<!-- tried: $1 -->/,/^\`\`\`$/{/^<!--/d;/^\`\`\`/d;s|/usr/local/bin/orlop|$RUNTIME_PATH|;p}" /lane/MANAGERS.md | grep .
}
skip() { echo "skip: $*"; exit 77; }

# Whether cgroup2 is the only hierarchy.
unified() { [ -f /sys/fs/cgroup/cgroup.controllers ]; }
# The cgroup of a process in a hierarchy: cgroup_of PID CONTROLLER
cgroup_of() {
	local path
	if unified; then
		path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
		echo "/sys/fs/cgroup$path"
	else
		path=$(awk -F: -v name="$2" '{n = split($2, all, ","); for (i = 1; i <= n; i++) if (all[i] == name) print $3}' "/proc/$1/cgroup")
		echo "/sys/fs/cgroup/$2$path"
	fi
}
# The content of a file in that cgroup, by its name in either version: cgroup_value PID CONTROLLER V1-FILE V2-FILE
cgroup_value() {
	local place
	place=$(cgroup_of "$1" "$2")
	if unified; then cat "$place/$4"; else cat "$place/$3"; fi
}

# Everything that scenarios may leave by mistake: containers' cgroups, states of runtimes, mounts, processes.
things() {
	# The parents that managers choose stay.
	find /sys/fs/cgroup -mindepth 3 -type d ! -name buildkit 2>/dev/null | sed 's/^/cgroup /'
	find /run/"$RUNTIME" /run/runc /run/containerd/runc/* /run/docker/runtime-*/* -mindepth 1 -name .cache -prune -o -type d -print 2>/dev/null | sed "s/^/state /"
	awk '$5 !~ "^/(proc|sys|dev|lane|run/[a-z]*/netns/default)" {print "mount " $5}' /proc/self/mountinfo
	# Shells of this script come and go.
	ps -e -o pid=,ppid=,comm= | awk '$3 !~ /^(ps|awk|bash|sed|find|diff|sort|sleep)$/ {print "process " $3}' | sort
}
