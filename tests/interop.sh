#!/bin/bash
# tests/interop.sh BUILD: everybody's client against our server and our client against everybody's server, as a Markdown
# table on standard output (make interop keeps it as tests/INTEROP.md). Each cell is transfers of several files,
# compared byte for byte: "yes", "no" with how many failed, or why there is none.
# shellcheck source-path=SCRIPTDIR source=e2e/lib.sh
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/tests/e2e/lib.sh"
root=$tmp/root
get=$tmp/get
mkdir "$root" "$get"
chmod 777 "$root" "$get"
for size in 0 1 512 100000; do bytes $size "$root/f$size"; done
perl -e 'print "line $_\n", "a\rb\n" for 1 .. 300' >"$root/text"
to_netascii <"$root/text" >"$tmp/wire"
from_netascii <"$root/text" >"$tmp/local"
chmod 666 "$root"/*
octets="f0 f1 f512 f100000"

version() {
	case $1 in
	"this one") "$tftpd" --version | sed -n '1s/^tftpd //p' ;;
	curl) command -v curl >/dev/null && curl --version | sed -n '1s/^curl \([^ ]*\).*/\1/p' ;;
	busybox) peer busybox-static/bin/busybox 2>&1 | sed -n '1s/^BusyBox v\([^ ]*\).*/\1/p' ;;
	tftp-hpa) peer tftp-hpa/usr/bin/tftp -V 2>&1 | sed -n '1s/^tftp-hpa \([^,]*\).*/\1/p' ;;
	tftpd-hpa) peer tftpd-hpa/usr/sbin/in.tftpd -V 2>&1 | sed -n '1s/^tftp-hpa \([^,]*\).*/\1/p' ;;
	atftp) peer atftp/usr/bin/atftp --version 2>&1 | sed -n 's/^atftp-\([^ ]*\).*/\1/p' | head -1 ;;
	atftpd) peer atftpd/usr/sbin/atftpd --version 2>&1 | sed -n 's/.*atftp-\([^ ]*\).*/\1/p' | head -1 ;;
	dnsmasq) peer dnsmasq-base/usr/sbin/dnsmasq --version 2>&1 | sed -n '1s/^Dnsmasq version \([^ ]*\).*/\1/p' ;;
	esac
}

# try WANTED GOT COMMAND...: one transfer, counted. cell [WORD]: the verdict of what was tried since the last one.
bad=0 all=0
try() {
	wanted=$1 got=$2
	shift 2
	rm -f "$got"
	all=$((all + 1))
	# peer is a function with a bound of its own
	[ "$1" = peer ] || set -- timeout 30 "$@"
	"$@" >/dev/null 2>&1
	# Some servers acknowledge an upload before they have written it.
	tries=0
	until cmp -s "$wanted" "$got"; do
		tries=$((tries + 1))
		[ $tries -gt 10 ] && break
		sleep 0.05
	done
	[ $tries -gt 10 ] && bad=$((bad + 1))
	rm -f "$got"
}
cell() {
	if [ $all -eq 0 ]; then
		printf ' %s |' "${1:--}"
	elif [ $bad -eq 0 ]; then
		printf ' yes |'
	else
		printf ' no (%d of %d) |' $bad $all
	fi
	bad=0 all=0
}

# ---- clients against our server: each has get and put, with a mode and options -------------------------------------

client_curl() {
	local way=$1 mode=$2 file=$3 local=$4
	shift 4
	[ "$mode" = netascii ] && set -- "$@" -B
	if [ "$way" = get ]; then try "$expect" "$local" curl -sS "$@" -o "$local" "tftp://127.0.0.1:$port/$file"
	else try "$expect" "$root/up" curl -sS "$@" -T "$local" "tftp://127.0.0.1:$port/up"; fi
}
client_tftp_hpa() {
	local way=$1 mode=$2 file=$3 local=$4
	[ "$mode" = netascii ] && mode=ascii
	[ "$mode" = octet ] && mode=binary
	if [ "$way" = get ]; then
		try "$expect" "$local" peer tftp-hpa/usr/bin/tftp -m $mode 127.0.0.1 "$port" -c get "$file" "$local"
	else try "$expect" "$root/up" peer tftp-hpa/usr/bin/tftp -m $mode 127.0.0.1 "$port" -c put "$local" up; fi
}
client_atftp() {
	local way=$1 mode=$2 file=$3 local=$4
	shift 4
	[ "$mode" = netascii ] && set -- "$@" --option "mode netascii"
	if [ "$way" = get ]; then
		try "$expect" "$local" peer atftp/usr/bin/atftp "$@" -g -r "$file" -l "$local" 127.0.0.1 "$port"
	else try "$expect" "$root/up" peer atftp/usr/bin/atftp "$@" -p -l "$local" -r up 127.0.0.1 "$port"; fi
}
client_busybox() {
	local way=$1 file=$3 local=$4
	shift 4
	if [ "$way" = get ]; then
		try "$expect" "$local" peer busybox-static/bin/busybox tftp "$@" -g -r "$file" -l "$local" 127.0.0.1 "$port"
	else try "$expect" "$root/up" peer busybox-static/bin/busybox tftp "$@" -p -l "$local" -r up 127.0.0.1 "$port"; fi
}

# client FUNCTION WAY MODE OPTIONS...
client() {
	local function=$1 way=$2 mode=$3 file expect
	shift 3
	# What most clients write as text, or send as it, are the bytes of the wire; tftp-hpa converts, atftp does on a get.
	for file in $([ "$mode" = octet ] && echo "$octets" || echo text); do
		expect=$root/$file
		case $mode/$function/$way in
		octet/* | */client_tftp_hpa/* | */client_atftp/get) ;;
		*/get) expect=$tmp/wire ;;
		*/put) expect=$tmp/local ;;
		esac
		if [ "$way" = get ]; then "$function" get "$mode" "$file" "$get/got" "$@"
		else "$function" put "$mode" "$file" "$root/$file" "$@"; fi
	done
}

row() {
	printf '| %s | %s |' "$1" "$(version "$1")"
}

echo "# Interoperability"
echo
echo "Made by \`make interop\` ($(. /etc/os-release && echo "$PRETTY_NAME")); not written by hand. Every \"yes\" stands"
echo "for files of 0, 1, 512 and 100,000 bytes (octet) or a text with bare LF and CR (netascii), compared by the byte."
echo "\"-\" is what that program cannot be told to do."
echo
start_tftpd server --create "$root"
# head_of WHAT: the first lines of a table
head_of() {
	echo "| $1 | version | get octet | put octet | get netascii | put netascii | get blksize 1428 | put blksize 1428 |" \
	    "get windowsize 8 | get without options |"
	echo "|---|---|---|---|---|---|---|---|---|---|"
}
echo "## Other clients, our server"
echo
head_of client
if command -v curl >/dev/null; then
	row curl
	client client_curl get octet && cell
	client client_curl put octet && cell
	client client_curl get netascii && cell
	client client_curl put netascii && cell
	client client_curl get octet --tftp-blksize 1428 && cell
	client client_curl put octet --tftp-blksize 1428 && cell
	cell
	client client_curl get octet --tftp-no-options && cell
	echo
fi
if has_peer tftp-hpa/usr/bin/tftp; then
	row tftp-hpa
	client client_tftp_hpa get octet && cell
	client client_tftp_hpa put octet && cell
	client client_tftp_hpa get netascii && cell
	client client_tftp_hpa put netascii && cell
	cell && cell && cell
	# It never asks for any.
	cell "always"
	echo
fi
if has_peer atftp/usr/bin/atftp; then
	row atftp
	client client_atftp get octet && cell
	client client_atftp put octet && cell
	client client_atftp get netascii && cell
	client client_atftp put netascii && cell
	client client_atftp get octet --option "blksize 1428" && cell
	client client_atftp put octet --option "blksize 1428" && cell
	client client_atftp get octet --option "windowsize 8" && cell
	client client_atftp get octet --option "disable tsize" && cell
	echo
fi
if has_peer busybox-static/bin/busybox; then
	row busybox
	client client_busybox get octet && cell
	client client_busybox put octet && cell
	cell && cell
	client client_busybox get octet -b 1428 && cell
	client client_busybox put octet -b 1428 && cell
	cell && cell
	echo
fi

# ---- our client against other servers ------------------------------------------------------------------------------

# from_here WAY MODE OPTIONS...: our client converts texts, so what comes back is the file
from_here() {
	local way=$1 mode=$2 file
	shift 2
	for file in $([ "$mode" = octet ] && echo "$octets" || echo text); do
		if [ "$way" = get ]; then
			try "$root/$file" "$get/got" "$tftp" get --mode "$mode" "$@" "tftp://127.0.0.1:$port/$file" "$get/got"
		else
			try "$root/$file" "$root/up" "$tftp" put --mode "$mode" "$@" "$root/$file" "tftp://127.0.0.1:$port/up"
		fi
	done
	cell
}
server_row() {
	row "$1"
	from_here get octet
	if [ "$2" = puts ]; then from_here put octet; else cell; fi
	from_here get netascii
	if [ "$2" = puts ]; then from_here put netascii; else cell; fi
	from_here get octet --blksize 1428
	if [ "$2" = puts ]; then from_here put octet --blksize 1428; else cell; fi
	from_here get octet --windowsize 8
	from_here get octet --no-options
	echo
}

echo
echo "## Our client, other servers"
echo
head_of server
row "this one"
from_here get octet
from_here put octet
from_here get netascii
from_here put netascii
from_here get octet --blksize 1428
from_here put octet --blksize 1428
from_here get octet --windowsize 8
from_here get octet --no-options
echo
if [ "$(id -u)" -eq 0 ]; then
	free_port
	has_peer tftpd-hpa/usr/sbin/in.tftpd && start in.tftpd peer tftpd-hpa/usr/sbin/in.tftpd -4 -L -c -s -u root \
	    -a "127.0.0.1:$port" "$root" && server_row tftpd-hpa puts
	free_port
	has_peer atftpd/usr/sbin/atftpd && start atftpd peer atftpd/usr/sbin/atftpd --daemon --no-fork --user root.root \
	    --logfile - --port "$port" --bind-address 127.0.0.1 "$root" && server_row atftpd puts
	free_port
	# Its TFTP port is fixed to 69: only where that is free.
	port=69
	if has_peer dnsmasq-base/usr/sbin/dnsmasq && ! taken 69; then
		start dnsmasq peer dnsmasq-base/usr/sbin/dnsmasq --no-daemon --conf-file=/dev/null --port=0 --enable-tftp \
		    --interface=lo --bind-interfaces --tftp-root="$root" --user=root --pid-file= --dhcp-leasefile=/dev/null &&
			server_row dnsmasq gets
	fi
fi
echo
echo "A window needs both ends: tftpd-hpa, dnsmasq and busybox know none, and the transfer goes on without."
echo "dnsmasq takes no uploads."
