# What the files of scenarios for podman share: the configuration, the image, short words for long commands.
# shellcheck shell=bash disable=SC2154

# The configuration of docs/MANAGERS.md. The limits are those of a process without CAP_SYS_RESOURCE.
containers_conf() {
	cat <<-END
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		[network]
		firewall_driver = "iptables"
	END
	# What the page says, with another runtime's name where one is under test, and the words for a host without systemd.
	documented podman-conf | sed "s/^runtime = .*/runtime = \"$RUNTIME\"/; s/^orlop = /$RUNTIME = /
		s/^\[engine\]/&\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"/"
}
podman_configuration() { # DIRECTORY
	mkdir -p "$1" "$state"
	containers_conf >"$1/containers.conf"
	echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$1/policy.json"
	[ -f "$state/box.tar" ] || /lane/scripts/inside/image "$state/box.tar"
}
podman_cleanup() {
	podman pod rm --all --force --time 0
	podman rm --all --force --time 0
	podman volume rm --all --force
	podman secret rm --all
	# Of a pod's cgroup podman forgets the hierarchies that have no controller.
	find /sys/fs/cgroup/*/libpod_parent -mindepth 1 -maxdepth 1 -type d -name '????????????????????????????????*' ! -name 'libpod-*' \
		-exec rmdir {} + 2>/dev/null
}
# As root; other files have their own.
start() {
	podman_configuration /etc/containers
	grep -q ^containers: /etc/subuid || echo containers:500000:1000000 | tee -a /etc/subuid >>/etc/subgid
	podman load --input "$state/box.tar"
	# Creates what podman creates once and keeps, before leftovers are checked.
	podman run --rm "$image" true
}
stop() { :; }
cleanup() { podman_cleanup; }
export PODMAN_IGNORE_CGROUPSV1_WARNING=1

differ() { [ "$1" != "$2" ] || complain "anything but «$1»"; }
soon() { until_true 20 eval "$1"; }
fails() { ! "$@" || complain "failure of: $*"; }

run() { podman run --rm --network none "$@"; }
# A container NAME that stays: up NAME [FLAG...] -- COMMAND...
up() {
	local name=$1 flags=()
	shift
	while [ "$1" != -- ]; do flags+=("$1") && shift; done
	shift
	podman run --detach --network none --name "$name" "${flags[@]}" "$image" "$@" >/dev/null
}
gone() { podman rm --force --time 0 "$@" >/dev/null; }
# The runtime itself, with the state directory which podman leaves to it.
runtime() { "$RUNTIME_PATH" "$@"; }
inspect() { podman inspect --format "$@"; }
pid_of() { inspect '{{.State.Pid}}' "$1"; }
# The namespace of a kind that a process is in: ns KIND PID
ns() { readlink "/proc/$2/ns/$1"; }
# What a program sees of one line of its own status: status_line WORD [FLAG...]
status_line() {
	local word=$1
	shift
	run "$@" "$image" sh -c "grep '^$word:' /proc/self/status | cut -f2"
}
# What a file of a container's cgroup says: limit_of CONTAINER CONTROLLER/FILE [FILE-OF-V2]
limit_of() { cgroup_value "$(pid_of "$1")" "${2%/*}" "${2#*/}" "${3:-}"; }
