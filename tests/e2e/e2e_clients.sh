#!/bin/sh
# Other people's clients against our server: curl, tftp-hpa, atftp, busybox; every file compared byte for byte.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/get"
chmod 777 "$tmp/root"
make_files "$tmp/root"

hosts=127.0.0.1
has_v6 && hosts="$hosts ::1"

# in_url HOST: an IPv6 address needs its brackets there
in_url() {
	case $1 in
	*:*) echo "[$1]" ;;
	*) echo "$1" ;;
	esac
}

# What a text must be at the other end: these clients do not convert, and get or put the bytes of the wire.
for text in $texts; do
	to_netascii <"$tmp/root/$text" >"$tmp/wire.$text"
	from_netascii <"$tmp/root/$text" >"$tmp/local.$text"
done

# agrees NAME WANTED GOT COMMAND...: what the command makes of a transfer is what is wanted. One in which the server
# had to repeat something, because the machine had something else to do, is made again: atftp makes other data of a
# netascii upload then, and tftp-hpa takes the block for one of its next file.
agrees() {
	title=$1 wanted=$2 got=$3
	shift 3
	for attempt in 1 2 3 4 5; do
		rm -f "$got"
		lines=$(wc -l <"$log")
		"$@"
		cmp -s "$wanted" "$got" || { disturbed "$lines" && [ $attempt -lt 5 ] && continue; }
		break
	done
	same "$title" "$wanted" "$got"
}

# Each client has a server of its own, and its log.
with_curl() {
	start_tftpd curl-server --create "$tmp/root"
	if command -v curl >/dev/null; then
		get_or_put() { timeout 900 curl -sS "$@"; }
	elif has_peer curl/usr/bin/curl; then
		get_or_put() { peer curl/usr/bin/curl -sS "$@"; }
	else
		skip "curl is not to be had"
		return
	fi
	for host in $hosts; do
		url=tftp://$(in_url "$host"):$port
		for size in $sizes wrap; do
			[ "$size" = wrap ] && [ "$host" != 127.0.0.1 ] && continue
			agrees "curl gets $size bytes over $host" "$tmp/root/f$size" "$tmp/get/curl" \
			    get_or_put -o "$tmp/get/curl" "$url/f$size"
			agrees "curl puts $size bytes over $host" "$tmp/root/f$size" "$tmp/root/curl-put" \
			    get_or_put -T "$tmp/root/f$size" "$url/curl-put"
		done
	done
	for blksize in 8 1000 1468 65464; do
		[ "$blksize" = 8 ] && size=513 || size=1048576
		agrees "curl gets with blksize $blksize" "$tmp/root/f$size" "$tmp/get/curl" \
		    get_or_put --tftp-blksize "$blksize" -o "$tmp/get/curl" "$url/f$size"
		agrees "curl puts with blksize $blksize" "$tmp/root/f$size" "$tmp/root/curl-put" \
		    get_or_put --tftp-blksize "$blksize" -T "$tmp/root/f$size" "$url/curl-put"
	done
	agrees "curl gets without options" "$tmp/root/f513" "$tmp/get/curl" \
	    get_or_put --tftp-no-options -o "$tmp/get/curl" "$url/f513"
	agrees "curl puts without options" "$tmp/root/f513" "$tmp/root/curl-put" \
	    get_or_put --tftp-no-options -T "$tmp/root/f513" "$url/curl-put"
	for text in $texts; do
		agrees "curl gets $text as netascii" "$tmp/wire.$text" "$tmp/get/curl" \
		    get_or_put -B -o "$tmp/get/curl" "$url/$text"
		agrees "curl puts $text as netascii" "$tmp/local.$text" "$tmp/root/curl-put" \
		    get_or_put -B -T "$tmp/root/$text" "$url/curl-put"
	done
	get_or_put -o "$tmp/get/curl" "$url/nothing" 2>/dev/null
	check "curl is told that a file is missing" test $? = 68
	get_or_put -T "$tmp/root/f1" "$url/no/such/directory" 2>/dev/null
	check "curl is told that an upload is refused" test $? = 69 -o $? = 68
	check "curl's server goes on" ours "$pid"
}

with_hpa() {
	start_tftpd hpa-server --create "$tmp/root"
	if ! has_peer tftp-hpa/usr/bin/tftp; then
		skip "tftp-hpa is not to be had"
		return
	fi
	hpa() { peer tftp-hpa/usr/bin/tftp "$@" >"$tmp/hpa.out" 2>&1; }
	for host in $hosts; do
		for size in $sizes wrap; do
			[ "$size" = wrap ] && [ "$host" != 127.0.0.1 ] && continue
			agrees "tftp-hpa gets $size bytes over $host" "$tmp/root/f$size" "$tmp/get/hpa" \
			    hpa -m binary "$host" "$port" -c get "f$size" "$tmp/get/hpa"
			agrees "tftp-hpa puts $size bytes over $host" "$tmp/root/f$size" "$tmp/root/hpa-put" \
			    hpa -m binary "$host" "$port" -c put "$tmp/root/f$size" hpa-put
		done
		for text in $texts; do
			agrees "tftp-hpa gets $text as netascii over $host" "$tmp/root/$text" "$tmp/get/hpa" \
			    hpa -m ascii "$host" "$port" -c get "$text" "$tmp/get/hpa"
			agrees "tftp-hpa puts $text as netascii over $host" "$tmp/root/$text" "$tmp/root/hpa-put" \
			    hpa -m ascii "$host" "$port" -c put "$tmp/root/$text" hpa-put
		done
	done
	hpa -m binary 127.0.0.1 "$port" -c get nothing "$tmp/get/hpa"
	check "tftp-hpa is told that a file is missing" grep -q 'Error code 1' "$tmp/hpa.out"
	rm -f "$tmp/get/hpa"
	check "tftp-hpa's server goes on" ours "$pid"
}

with_atftp() {
	start_tftpd atftp-server --create "$tmp/root"
	if ! has_peer atftp/usr/bin/atftp; then
		skip "atftp is not to be had"
		return
	fi
	atftp() { peer atftp/usr/bin/atftp "$@" >"$tmp/atftp.out" 2>&1; }
	for host in $hosts; do
		for size in $sizes wrap; do
			[ "$size" = wrap ] && [ "$host" != 127.0.0.1 ] && continue
			agrees "atftp gets $size bytes over $host" "$tmp/root/f$size" "$tmp/get/atftp" \
			    atftp -g -r "f$size" -l "$tmp/get/atftp" "$host" "$port"
			agrees "atftp puts $size bytes over $host" "$tmp/root/f$size" "$tmp/root/atftp-put" \
			    atftp -p -l "$tmp/root/f$size" -r atftp-put "$host" "$port"
		done
	done
	for option in "blksize 8" "blksize 1428" "blksize 65464" "windowsize 8" "timeout 2" "tsize"; do
		[ "$option" = "blksize 8" ] && size=513 || size=1048576
		# "tsize" is a flag and takes no value
		agrees "atftp gets with $option" "$tmp/root/f$size" "$tmp/get/atftp" \
		    atftp --option "$option" -g -r "f$size" -l "$tmp/get/atftp" 127.0.0.1 "$port"
		agrees "atftp puts with $option" "$tmp/root/f$size" "$tmp/root/atftp-put" \
		    atftp --option "$option" -p -l "$tmp/root/f$size" -r atftp-put 127.0.0.1 "$port"
	done
	for text in $texts; do
		agrees "atftp gets $text as netascii" "$tmp/root/$text" "$tmp/get/atftp" \
		    atftp --option "mode netascii" -g -r "$text" -l "$tmp/get/atftp" 127.0.0.1 "$port"
		agrees "atftp puts $text as netascii" "$tmp/root/$text" "$tmp/root/atftp-put" \
		    atftp --option "mode netascii" -p -l "$tmp/root/$text" -r atftp-put 127.0.0.1 "$port"
	done
	check "atftp's server goes on" ours "$pid"
}

with_busybox() {
	start_tftpd busybox-server --create "$tmp/root"
	if ! has_peer busybox-static/bin/busybox; then
		skip "busybox is not to be had"
		return
	fi
	busybox() { peer busybox-static/bin/busybox tftp "$@" >"$tmp/busybox.out" 2>&1; }
	for host in $hosts; do
		for size in $sizes wrap; do
			[ "$size" = wrap ] && [ "$host" != 127.0.0.1 ] && continue
			agrees "busybox gets $size bytes over $host" "$tmp/root/f$size" "$tmp/get/busybox" \
			    busybox -g -r "f$size" -l "$tmp/get/busybox" "$host" "$port"
			agrees "busybox puts $size bytes over $host" "$tmp/root/f$size" "$tmp/root/busybox-put" \
			    busybox -p -l "$tmp/root/f$size" -r busybox-put "$host" "$port"
		done
	done
	# the whole request must fit into a block
	for blksize in 64 1428 65464; do
		[ "$blksize" = 64 ] && size=513 || size=1048576
		agrees "busybox gets with blksize $blksize" "$tmp/root/f$size" "$tmp/get/busybox" \
		    busybox -b $blksize -g -r "f$size" -l "$tmp/get/busybox" 127.0.0.1 "$port"
		agrees "busybox puts with blksize $blksize" "$tmp/root/f$size" "$tmp/root/busybox-put" \
		    busybox -b $blksize -p -l "$tmp/root/f$size" -r busybox-put 127.0.0.1 "$port"
	done
	check "busybox's server goes on" ours "$pid"
}

together with_curl with_hpa with_atftp with_busybox
check "nothing unfinished is left" test -z "$(find "$tmp/root" -name '.tftp-part-*')"
exit $failed
