#!/bin/sh
# Our client against our server: sizes, options, both families, past the wrap of the block number, standard input and
# output.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/get"
chmod 777 "$tmp/root"
make_files "$tmp/root"
bytes 600003 "$tmp/root/f600003" # 75,001 blocks of 8
start_tftpd server --create "$tmp/root"

# round NAME SIZE OPTIONS...: get and put with these options
round() {
	name=$1 size=$2
	shift 2
	timeout 900 "$tftp" get "$@" "$url/f$size" "$tmp/get/$side"
	same "get $size bytes $name" "$tmp/root/f$size" "$tmp/get/$side"
	timeout 900 "$tftp" put "$@" "$tmp/root/f$size" "$url/put-$side"
	same "put $size bytes $name" "$tmp/root/f$size" "$tmp/root/put-$side"
}

all_sizes() {
	for size in $sizes wrap; do
		round "over $side" "$size"
		[ "$size" = wrap ] || round "over $side in blocks of 512" "$size" --blksize 512
	done
	for text in $texts; do
		timeout 900 "$tftp" get --mode netascii "$url/$text" "$tmp/get/$side"
		same "get $text as netascii over $side" "$tmp/root/$text" "$tmp/get/$side"
		timeout 900 "$tftp" put --mode netascii "$tmp/root/$text" "$url/put-$side"
		same "put $text as netascii over $side" "$tmp/root/$text" "$tmp/root/put-$side"
	done
}

over_v4() {
	side=IPv4 url=tftp://127.0.0.1:$port
	all_sizes
}

past_the_wrap() {
	if under_memcheck; then
		skip "past the wrap: so many blocks take too long at this pace"
		return
	fi
	side=wrap url=tftp://127.0.0.1:$port
	round "in 65,626 blocks" wrap --blksize 512
	round "in 65,626 blocks, one at a time" wrap --blksize 512 --windowsize 1
	round "in 75,001 blocks of 8" 600003 --blksize 8
	round "in 75,001 blocks of 8, one at a time" 600003 --blksize 8 --windowsize 1
}

over_v6() {
	if ! has_v6; then
		skip "there is no IPv6 here"
		return
	fi
	side=IPv6 url="tftp://[::1]:$port"
	all_sizes
}

many_options() {
	side=options url=tftp://127.0.0.1:$port
	for blksize in 8 9 511 513 1468 8192 65464; do
		for windowsize in 1 2 7 64 32767; do
			round "with blksize $blksize and windowsize $windowsize" 513 \
			    --blksize $blksize --windowsize $windowsize
		done
		round "with blksize $blksize" 1048576 --blksize $blksize
	done
	round "with a timeout" 1048576 --timeout 3
}

together over_v4 over_v6 past_the_wrap many_options

url=tftp://127.0.0.1:$port
"$tftp" get "$url/f1048576" - >"$tmp/get/out"
same "get to standard output" "$tmp/root/f1048576" "$tmp/get/out"
"$tftp" get "$url/f1048576" - | cat >"$tmp/get/out"
same "get into a pipe" "$tmp/root/f1048576" "$tmp/get/out"
cat "$tmp/root/f1048576" | "$tftp" put - "$url/from-pipe"
same "put from a pipe" "$tmp/root/f1048576" "$tmp/root/from-pipe"
"$tftp" --parallel 2 get "$url/f1048576" "$url/f513" - >"$tmp/get/out"
cat "$tmp/root/f1048576" "$tmp/root/f513" >"$tmp/both"
same "several files come out of standard output one after the other" "$tmp/both" "$tmp/get/out"
"$tftp" --json get "$url/f513" "$tmp/get/out" >"$tmp/json"
same "get with an object about it" "$tmp/root/f513" "$tmp/get/out"
check "which is on standard output" grep -q '^{"operation":"get",.*"bytes":513,.*}$' "$tmp/json"
"$tftp" --json get "$url/f513" - >"$tmp/get/out" 2>"$tmp/json"
same "data on standard output has nothing between it" "$tmp/root/f513" "$tmp/get/out"
check "the object is on standard error then" grep -q '^{"operation":"get",.*"bytes":513,.*}$' "$tmp/json"
"$tftp" --json 127.0.0.1 "$port" -c get f513 - >"$tmp/get/out" 2>"$tmp/json"
same "nor has that of a command" "$tmp/root/f513" "$tmp/get/out"
check "whose object is on standard error as well" grep -q '^{"operation":"get",.*"bytes":513,.*}$' "$tmp/json"
"$tftp" put - "$url/from-file" <"$tmp/root/f513"
same "put from standard input" "$tmp/root/f513" "$tmp/root/from-file"
"$tftp" put - "$url/from-nothing" </dev/null
same "put of nothing" "$tmp/root/f0" "$tmp/root/from-nothing"
"$tftp" put /proc/sys/kernel/ostype "$url/from-proc"
cat /proc/sys/kernel/ostype >"$tmp/ostype"
same "put of a file whose size is said to be 0" "$tmp/ostype" "$tmp/root/from-proc"
if [ -e /sys/class/net/lo/mtu ]; then
	"$tftp" put /sys/class/net/lo/mtu "$url/from-sys"
	cat /sys/class/net/lo/mtu >"$tmp/mtu"
	same "put of a file that is shorter than it says" "$tmp/mtu" "$tmp/root/from-sys"
else
	skip "a file that is shorter than it says: there is no /sys"
fi
if under_memcheck; then
	skip "a closed standard input: valgrind opens what is closed"
else
	timeout 60 "$tftp" put - "$url/from-none" 2>"$tmp/err" <&-
	check "a closed standard input is a local read error, and not nothing" \
	    test "$?$(ls "$tmp/root" | grep -c from-none)" = 260
fi
(cd "$tmp/get" && "$tftp" get "$url/f513")
same "get without a local name takes the remote one" "$tmp/root/f513" "$tmp/get/f513"

"$tftp" get "$url/f513" "$tmp/get/"
same "get into a directory takes the remote name" "$tmp/root/f513" "$tmp/get/f513"

echo old >"$tmp/get/old"
"$tftp" get "$url/f513" "$tmp/get/old"
same "get replaces an existing file" "$tmp/root/f513" "$tmp/get/old"
echo old >"$tmp/root/old"
chmod 666 "$tmp/root/old"
"$tftp" put "$tmp/root/f513" "$url/old"
same "put replaces an existing file" "$tmp/root/f513" "$tmp/root/old"

# Names in URLs: RFC 3617, RFC 3986.
cp "$tmp/root/f513" "$tmp/root/a b%c;d"
"$tftp" get "$url/a%20b%25c%3Bd" "$tmp/get/name"
same "escapes in a URL are decoded" "$tmp/root/f513" "$tmp/get/name"
"$tftp" get "$url/t-lf;mode=netascii" "$tmp/get/name"
same "a URL can say the mode" "$tmp/root/t-lf" "$tmp/get/name"
mkdir "$tmp/root/sub"
cp "$tmp/root/f513" "$tmp/root/sub/x"
"$tftp" get "$url/sub/x" "$tmp/get/name"
same "a URL can name a directory" "$tmp/root/f513" "$tmp/get/name"

# Who still answers for a last ACK that was lost keeps nobody from what comes next.
mkdir "$tmp/stick"
# busy_often: a directory was still in use when the client had ended
busy_often() {
	for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		mount -t tmpfs none "$tmp/stick" || return 0
		(cd "$tmp/stick" && exec nice -n 19 "$tftp" get "$url/f513" 7<.)
		umount "$tmp/stick" || return 0
	done
	return 1
}
if mount -t tmpfs none "$tmp/stick" 2>/dev/null; then
	umount "$tmp/stick"
	if busy_often; then not_ok "where it was started can be unmounted at once"
	else ok "where it was started can be unmounted at once"; fi
else
	skip "what is unmounted: it cannot be mounted here"
fi
# In a container nobody may ever collect a child that is left, and what runs first there takes all with it when it ends.
if unshare -pf --mount-proc true 2>/dev/null; then
	unshare -pf --mount-proc "$tftp" get "$url/f1048576" "$tmp/get/first"
	same "it can be the first process of a container" "$tmp/root/f1048576" "$tmp/get/first"
	# shellcheck disable=SC2016
	left=$(unshare -pf --mount-proc sh -c '"$@" && echo /proc/[0-9]*' sh "$tftp" get "$url/f513" "$tmp/get/second")
	check "and leaves no child in one" test "$left" = /proc/1
else
	skip "a container: there are no PID namespaces here"
fi

check "nothing unfinished is left" test -z "$(find "$tmp" -name '.tftp-part-*')"
check "success says nothing on standard error" test -z "$("$tftp" get "$url/f513" "$tmp/get/quiet" 2>&1)"
exit $failed
