#!/bin/sh
# tests/soak.sh BUILD [MINUTES]: mixed traffic against one server for that long (default 20): clients in both directions
# and all sizes, some of them killed, system calls that fail, a disk that is full now and then, SIGHUP where the server
# knows it. At the end its memory, descriptors and files are what they were at the start, and no transfer that was
# reported as done was wrong. SOAK_CLIENTS= (4) clients at a time.
# shellcheck source-path=SCRIPTDIR source=e2e/lib.sh
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/tests/e2e/lib.sh"
minutes=${2:-20} clients=${SOAK_CLIENTS:-4}
preload=$build/tests/fault_preload.so
here=$tmp/soak
mkdir -p "$here/root" "$here/count"
# A disk of its own, which may be full.
if mount -t tmpfs -o size=24m tmpfs "$here/root" 2>/dev/null; then small=yes; else small=no; fi
chmod 777 "$here/root"
for size in 0 1 511 512 5000 100000 3000000; do bytes $size "$here/root/f$size"; done
ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
export ASAN_OPTIONS
FAULT_PLAN=$here/plan FAULT_MARK=$here/mark LD_PRELOAD=$preload \
    start_tftpd soak --give-up 5 --without landlock --create "$here/root"
server_pid=$pid
url=tftp://127.0.0.1:$port

open_fds() { ls "/proc/$server_pid/fd" | wc -l; }
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$server_pid/status"; }
at_rest() { [ "$(open_fds)" -le "$fds" ]; }
pick() { echo "$1" | tr ' ' '\n' | shuf -n 1; }
tally() { echo >>"$here/count/$1"; }
counted() { [ -e "$here/count/$1" ] && wc -l <"$here/count/$1" || echo 0; }

# One client: gets and puts until the end, each compared. A failure is no news here, a wrong file is.
client() {
	me=$1
	while [ "$(date +%s)" -lt "$until" ]; do
		size=$(pick "0 1 511 512 5000 100000 3000000")
		options=$(pick "--blksize=512 --windowsize=1 --windowsize=16 --no-options --blksize=8000 --mode=netascii")
		if [ "$(pick 'get put')" = get ]; then
			if timeout 30 "$tftp" get --max-time 20 "$options" "$url/f$size" "$here/got$me" 2>/dev/null; then
				tally done
				cmp -s "$here/root/f$size" "$here/got$me" || tally wrong
			else
				tally failed
			fi
			rm -f "$here/got$me"
		else
			if timeout 30 "$tftp" put --max-time 20 "$options" "$here/root/f$size" "$url/up$me" 2>/dev/null; then
				tally done
				cmp -s "$here/root/f$size" "$here/root/up$me" || tally wrong
			else
				tally failed
			fi
		fi
		# Now and then a client dies in the middle.
		[ "$(pick '1 2 3 4 5 6 7 8')" = 1 ] || continue
		timeout -s KILL 0.05 "$tftp" put "--windowsize=1" "$here/root/f3000000" "$url/killed$me" 2>/dev/null
		timeout -s KILL 0.05 "$tftp" get "--windowsize=1" "$url/f3000000" "$here/got$me" 2>/dev/null
		rm -f "$here/got$me" "$here"/.tftp-part-*
		tally killed
	done
}

# What the server suffers meanwhile.
trouble() {
	serial=0
	calls="pread preadv pwrite pwritev openat openat2 fsync renameat sendto sendmsg sendmmsg recvmmsg socket bind ppoll"
	hup=$(awk '/^SigBlk/ { print substr($2, 16) }' "/proc/$server_pid/status")
	while [ "$(date +%s)" -lt "$until" ]; do
		serial=$((serial + 1))
		call=$(pick "$calls")
		errors="4 5 11 12 24 28 105"
		# What the kernel never says to a caller in order is the end of the loop.
		[ "$call" = ppoll ] && errors="4 12"
		echo "$call $(pick "$errors") $(pick '1 5 20') $(pick '1 3 10') $serial" >"$here/plan.new"
		mv "$here/plan.new" "$here/plan"
		sleep 1
		rm -f "$here/plan"
		if [ $small = yes ] && [ $((serial % 5)) = 0 ]; then
			dd if=/dev/zero of="$here/root/fill" bs=1M count=40 2>/dev/null
			sleep 1
			rm -f "$here/root/fill"
			tally full
		fi
		case $hup in
		*[13579bdf]) kill -HUP "$server_pid" ;;
		esac
		sleep 1
	done
}

timeout 30 "$tftp" get "$url/f3000000" "$here/warm" && timeout 30 "$tftp" put "$here/warm" "$url/warm"
rm -f "$here/warm" "$here/root/warm"
# Once round with everybody, so that buffers have their size: each upload at a time has one of its own.
until=$(($(date +%s) + 30))
[ "$minutes" = 0 ] && until=$(($(date +%s) + 5))
running=
for me in $(seq "$clients"); do
	client "$me" &
	running="$running $!"
done
# shellcheck disable=SC2086 # a list of words
wait $running
eventually sh -c "! ls -A '$here/root' | grep -q tftp-part"
rm -f "$here/count"/*
sleep 6 # the last ones dally
fds=$(open_fds) memory=$(rss)
until=$(($(date +%s) + minutes * 60))
[ "$minutes" = 0 ] && until=$(($(date +%s) + 15))
running=
for me in $(seq "$clients"); do
	client "$me" &
	running="$running $!"
done
trouble &
running="$running $!"
pids="$pids $running"
# shellcheck disable=SC2086 # a list of words
wait $running
rm -f "$here/plan"

echo "# $minutes minutes, $clients clients: $(counted done) transfers done, $(counted failed) failed," \
	"$(counted killed) pairs of clients killed, disk full $(counted full) times," \
	"$([ -e "$here/mark" ] && wc -l <"$here/mark" || echo 0) system calls failed"
kill -0 "$server_pid" 2>/dev/null || tail -n 3 "$log"
check "the server goes on" kill -0 "$server_pid"
check "no transfer that was done is wrong" test "$(counted wrong)" -eq 0
check "there were transfers" test "$(counted done)" -gt 0
check "descriptors are as at the start ($fds)" eventually at_rest
no_parts() { [ -z "$(find "$here/root" -name '.tftp-part-*')" ]; }
check "no temporary file is left" eventually no_parts
grown=$(($(rss) - memory))
slack=1024
grep -q __asan_init "$tftpd" && slack=65536
check "memory is as at the start (${grown} KB more than ${memory})" test "$grown" -lt $slack
stop "$server_pid"
exit $failed
