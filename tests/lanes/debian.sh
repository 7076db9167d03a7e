# Root file systems from Debian's packages, for scripts that source this file. It needs a function `step MESSAGE`.
# shellcheck shell=bash
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Installs mmdebstrap and Debian's keys on this host if they are missing; they are all that is installed.
install_mmdebstrap() {
	local missing=()
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
	[ -e "$keyring" ] || missing+=(debian-archive-keyring)
	[ ${#missing[@]} = 0 ] && return
	command -v apt-get >/dev/null || { step "no ${missing[*]} and no apt-get"; return 1; }
	step "installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# debian_root RELEASE MIRROR DIRECTORY-OR-ARCHIVE PACKAGES [OPTION...]
# A minimal Debian with PACKAGES (comma-separated), without manuals and translations.
debian_root() {
	local release=$1 mirror=$2 target=$3 packages=$4
	shift 4
	mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --skip=check/qemu \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$@" \
		"$release" "$target" "deb [signed-by=$keyring] $mirror $release main" >&2
}
