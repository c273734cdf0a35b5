#!/bin/sh
# tests/setup.sh: make sure that the tests have what they need; `make check` calls it first. Silent when all is there.
#
# Check and pkg-config are installed. Other people's TFTP programs are not: their servers would start on port 69. They
# are unpacked into build/peers and run from there. What cannot be had makes its tests say "skip".
set -u
cd "$(dirname "$0")/.." || exit 1
peers=$PWD/build/peers
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

missing=
command -v pkg-config >/dev/null || missing="$missing pkg-config"
pkg-config --exists check 2>/dev/null || missing="$missing check"
command -v perl >/dev/null || missing="$missing perl"
if [ -n "$missing" ]; then
	missing=${missing# }
	root=
	# Somebody else may be installing something.
	lock="-o DPkg::Lock::Timeout=120"
	if ! command -v apt-get >/dev/null; then
		echo "the tests need: $missing (install them with this system's package manager)" >&2
		exit 1
	elif [ "$(id -u)" -ne 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			echo "the tests need: sudo apt-get install -y --no-install-recommends $missing" >&2
			exit 1
		fi
		root="sudo -n env DEBIAN_FRONTEND=noninteractive"
	fi
	echo "installing $missing"
	mkdir -p build
	# An update that fails for one of several sources is no reason to stop; the installation decides.
	$root apt-get update -qq || true
	# $missing is a list of words
	# shellcheck disable=SC2086
	if ! $root apt-get $lock install -y -qq --no-install-recommends $missing >build/setup.log 2>&1; then
		cat build/setup.log >&2
		echo "the tests need: apt-get install -y --no-install-recommends $missing" >&2
		exit 1
	fi
fi

# For the tests in network namespaces, which say "skip" without them: tried once.
wanted=
command -v ip >/dev/null || wanted="$wanted iproute2"
command -v nft >/dev/null || [ -x /usr/sbin/nft ] || wanted="$wanted nftables"
if [ -n "$wanted" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && [ ! -e build/setup.net ]; then
	mkdir -p build
	: >build/setup.net
	apt-get update -qq >/dev/null 2>&1
	# $wanted is a list of words
	# shellcheck disable=SC2086
	apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends $wanted >build/setup.net 2>&1 || echo "without $wanted some tests skip"
fi

# All there, or lately tried in vain.
[ -e "$peers/complete" ] && exit 0
[ -n "$(find "$peers/partial" -mmin -60 2>/dev/null)" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0

mkdir -p "$peers/deb" "$peers/apt/lists/partial" "$peers/apt/cache/archives/partial"
apt() {
	apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o APT::Sandbox::User= "$@"
}
# Package lists: the system's, or (nobody has fetched any and we may not) our own.
if ! apt-cache show tftpd-hpa >/dev/null 2>&1; then
	if [ "$(id -u)" -eq 0 ]; then
		apt update -qq
	elif sudo -n true 2>/dev/null; then
		sudo -n apt-get update -qq
	else
		apt() {
			apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Debug::NoLocking=1 \
			    -o Dir::State::Lists="$peers/apt/lists" -o Dir::Cache="$peers/apt/cache" "$@"
		}
		apt update -qq
	fi >"$peers/log" 2>&1
fi

# fetch PACKAGE PROGRAM: unpack PACKAGE, and the libraries that it needs and this system lacks, into a place of its own
# (atftpd's package has an in.tftpd too). The C library stays this system's.
fetch() {
	root=$peers/$1
	[ -x "$root/$2" ] && return 0
	wanted=$(apt -s install --no-install-recommends "$1" 2>/dev/null |
	    awk '/^Inst lib/ && $2 !~ /^libc[0-9-]/ { print $2 }')
	rm -f "$peers"/deb/*.deb
	# $wanted is a list of words
	# shellcheck disable=SC2086
	(cd "$peers/deb" && apt download -qq "$1" $wanted) >>"$peers/log" 2>&1
	for deb in "$peers"/deb/*.deb; do
		[ -e "$deb" ] && dpkg-deb -x "$deb" "$root" >>"$peers/log" 2>&1
	done
	rm -f "$peers"/deb/*.deb
	# Take it away again if it cannot run: the tests look only whether it is there.
	libs=$(find "$root" -type d -path '*/lib/*-linux-gnu' | paste -s -d: -)
	if LD_LIBRARY_PATH=$libs ldd "$root/$2" 2>/dev/null | grep -q 'not found'; then
		rm -f "$root/$2"
	fi
	[ -x "$root/$2" ]
}

echo "fetching other TFTP programs for the tests into build/peers"
absent=
fetch tftp-hpa usr/bin/tftp || absent="$absent tftp-hpa"
fetch tftpd-hpa usr/sbin/in.tftpd || absent="$absent tftpd-hpa"
fetch atftp usr/bin/atftp || absent="$absent atftp"
fetch atftpd usr/sbin/atftpd || absent="$absent atftpd"
fetch dnsmasq-base usr/sbin/dnsmasq || absent="$absent dnsmasq-base"
fetch busybox-static bin/busybox || absent="$absent busybox-static"
command -v curl >/dev/null || fetch curl usr/bin/curl || absent="$absent curl"
rm -f "$peers/complete" "$peers/partial"
if [ -n "$absent" ]; then
	echo "could not be had, their tests will be skipped:$absent"
	: >"$peers/partial"
else
	: >"$peers/complete"
fi
exit 0
