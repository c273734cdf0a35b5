#!/bin/sh
# Our client against other people's servers: tftpd-hpa, atftpd, dnsmasq; every file compared byte for byte.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# whole NAME WANTED GOT: as `same`, but the other server may acknowledge an upload before it has written it
whole() {
	eventually cmp -s "$2" "$3"
	same "$@"
}

# against NAME HOST: gets and puts through the server at $port over $root. $puts says whether it takes
# uploads.
against() {
	name=$1
	url=tftp://$2:$port
	for size in $sizes wrap; do
		[ "$size" = wrap ] && [ "$2" != 127.0.0.1 ] && continue
		timeout 60 "$tftp" get "$url/f$size" "$here/got"
		same "we get $size bytes from $name" "$root/f$size" "$here/got"
		[ "$puts" = yes ] || continue
		timeout 60 "$tftp" put "$root/f$size" "$url/put-$size"
		whole "we put $size bytes to $name" "$root/f$size" "$root/put-$size"
	done
	for options in "--blksize 8" "--blksize 512" "--blksize 1468" "--blksize 65464" "--timeout 2" \
	    "--windowsize 8"; do
		[ "$options" = "--blksize 8" ] && size=513 || size=1048576
		# shellcheck disable=SC2086 # a list of words
		timeout 60 "$tftp" get $options "$url/f$size" "$here/got"
		same "we get from $name with $options" "$root/f$size" "$here/got"
		[ "$puts" = yes ] || continue
		# shellcheck disable=SC2086
		timeout 60 "$tftp" put $options "$root/f$size" "$url/put"
		whole "we put to $name with $options" "$root/f$size" "$root/put"
	done
	for text in $texts; do
		timeout 60 "$tftp" get --mode netascii "$url/$text" "$here/got"
		same "we get $text as netascii from $name" "$root/$text" "$here/got"
		[ "$puts" = yes ] || continue
		timeout 60 "$tftp" put --mode netascii "$root/$text" "$url/put"
		whole "we put $text as netascii to $name" "$root/$text" "$root/put"
	done
	timeout 60 "$tftp" get "$url/nothing" "$here/got" 2>"$here/err"
	check "$name says that a file is missing" test $? = 68
	check "that leaves nothing" test ! -e "$here/got"
}

# prepare NAME: directories of its own
prepare() {
	here=$tmp/$1
	root=$here/root
	mkdir -p "$root"
	chmod 777 "$here" "$root"
	ln "$tmp/files"/* "$root"/ 2>/dev/null || cp "$tmp/files"/* "$root"/
	puts=yes
}

with_hpa() {
	if ! has_peer tftpd-hpa/usr/sbin/in.tftpd; then
		skip "tftpd-hpa is not to be had"
		return
	fi
	if [ "$(id -u)" -ne 0 ]; then
		skip "tftpd-hpa starts only as root"
		return
	fi
	prepare hpa
	free_port
	if ! start in.tftpd peer tftpd-hpa/usr/sbin/in.tftpd -4 -L -c -s -u root -a "127.0.0.1:$port" "$root"; then
		not_ok "tftpd-hpa starts: $(cat "$tmp/in.tftpd.log")"
		return
	fi
	against tftpd-hpa 127.0.0.1
	has_v6 || return
	free_port
	start in.tftpd6 peer tftpd-hpa/usr/sbin/in.tftpd -6 -L -c -s -u root -a "[::1]:$port" "$root" || return
	against "tftpd-hpa over IPv6" "[::1]"
}

with_atftpd() {
	if ! has_peer atftpd/usr/sbin/atftpd; then
		skip "atftpd is not to be had"
		return
	fi
	if [ "$(id -u)" -ne 0 ]; then
		skip "atftpd starts only as root"
		return
	fi
	prepare atftpd
	free_port
	if ! start atftpd peer atftpd/usr/sbin/atftpd --daemon --no-fork --user root.root --logfile - --port "$port" \
	    --bind-address 127.0.0.1 "$root"; then
		not_ok "atftpd starts: $(cat "$tmp/atftpd.log")"
		return
	fi
	against atftpd 127.0.0.1
}

# dnsmasq serves port 69 alone, so it gets a network of its own, and the client with it.
with_dnsmasq() {
	if ! has_peer dnsmasq-base/usr/sbin/dnsmasq || ! has_peer busybox-static/bin/busybox; then
		skip "dnsmasq is not to be had"
		return
	fi
	if ! unshare -n true 2>/dev/null && ! unshare -rn true 2>/dev/null; then
		skip "dnsmasq needs a network namespace for its port 69"
		return
	fi
	prepare dnsmasq
	apart="unshare -n"
	$apart true 2>/dev/null || apart="unshare -rn"
	$apart "$top/tests/e2e/e2e_servers.sh" "$build" in-namespace "$here"
}

# Inside: lo is down at first.
in_namespace() {
	here=$1
	root=$here/root
	puts=no
	peer busybox-static/bin/busybox ip link set lo up
	port=69
	if ! start dnsmasq peer dnsmasq-base/usr/sbin/dnsmasq --no-daemon --conf-file=/dev/null --port=0 --enable-tftp \
	    --tftp-root="$root" --user="$(id -un)" --pid-file= --dhcp-leasefile=/dev/null; then
		not_ok "dnsmasq starts: $(cat "$tmp/dnsmasq.log")"
		return
	fi
	against dnsmasq 127.0.0.1
	has_v6 && against "dnsmasq over IPv6" "[::1]"
}

if [ "${2:-}" = in-namespace ]; then
	in_namespace "$3"
	exit $failed
fi
mkdir "$tmp/files"
make_files "$tmp/files"
together with_hpa with_atftpd with_dnsmasq
exit $failed
