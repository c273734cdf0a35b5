#!/bin/sh
# System calls that fail under the real server: one GET and one PUT for each call, error and place, on one server that
# goes on all the while. The client gets the file or a failure with its words, never a wrong file; an upload is there
# whole or the old file is; afterwards no descriptor, memory or temporary file is left. FAULTS=all tries more places
# (make check-long).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
preload=$build/tests/fault_preload.so
# A sanitizer wants to be first; behind this library is good enough.
ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
export ASAN_OPTIONS

EINTR=4 EIO=5 EAGAIN=11 ENOMEM=12 EACCES=13 EINVAL=22 EMFILE=24 ENOSPC=28 EPERM=1
ENOBUFS=105 ENETUNREACH=101 EADDRINUSE=98

# call, errors; what fails in the middle of a transfer fails in several places
cases() {
	cat <<-END
	openat2 $EIO $EMFILE $ENOMEM $EINTR $EACCES
	openat $EIO $EMFILE $ENOSPC
	fstat $EIO
	fcntl $EMFILE
	pread $EIO $EINTR
	preadv $EIO $EINTR
	pwrite $EIO $ENOSPC $EINTR
	fsync $EIO $ENOSPC
	fchmod $EPERM $EIO
	renameat $EIO $ENOSPC
	sendto $EAGAIN $ENOBUFS $EPERM $ENOMEM
	sendmsg $EAGAIN $ENOBUFS $EIO $EINVAL $EPERM $ENETUNREACH
	recvfrom $EAGAIN $EINTR $ENOMEM
	recvmmsg $EAGAIN $EINTR $ENOMEM
	socket $EMFILE $ENOMEM $ENOBUFS
	bind $EADDRINUSE $ENOMEM
	setsockopt $ENOMEM
	getrandom $EINTR $EAGAIN
	ppoll $EINTR $ENOMEM
	write $EIO $ENOSPC
	END
}

# For a server without UDP_SEGMENT.
more_cases() {
	echo "sendmmsg $ENOBUFS $EPERM $EAGAIN $EIO $ENOMEM"
}

# plan CALL ERRNO N COUNT: what the server suffers from now on; nothing without arguments
serial=0
plan() {
	serial=$((serial + 1))
	if [ $# -gt 0 ]; then
		echo "$1 $2 $3 $4 $serial" >"$here/plan.new"
		mv "$here/plan.new" "$here/plan"
	else
		rm -f "$here/plan"
	fi
}

# suffer CALL ERRNO N COUNT: a GET and a PUT meanwhile; complaints to standard output. Not in a subshell: it counts.
suffer() {
	# Small blocks are read ahead and texts are converted, each by another call.
	blksize=8000 mode=octet window=auto
	case $1 in
	pread) blksize=1000 window=1 ;;
	pwrite) mode=netascii ;;
	esac
	: >"$here/mark"
	rm -f "$here/got"
	plan "$@"
	timeout 60 "$tftp" get --retries 3 --max-time 12 \
	    --blksize "$blksize" --mode $mode --windowsize $window "$url/file" "$here/got" 2>"$here/err"
	status=$?
	if [ $status = 0 ]; then
		cmp -s "$here/root/file" "$here/got" || echo "the file arrived wrong"
	else
		[ -s "$here/err" ] || echo "GET ended with status $status without a word"
		[ -e "$here/got" ] && echo "GET failed and left a file"
		[ $status -gt 100 ] && echo "GET ended with status $status"
	fi
	cp "$here/old" "$here/root/upload"
	plan "$@"
	timeout 60 "$tftp" put --retries 3 --max-time 12 \
	    --blksize 1400 --mode $mode "$here/root/file" "$url/upload" 2>"$here/err"
	status=$?
	plan
	if [ $status = 0 ]; then
		cmp -s "$here/root/file" "$here/root/upload" || echo "an upload that was acknowledged is not there"
	else
		[ -s "$here/err" ] || echo "PUT ended with status $status without a word"
		[ $status -gt 100 ] && echo "PUT ended with status $status"
		cmp -s "$here/old" "$here/root/upload" || cmp -s "$here/root/file" "$here/root/upload" ||
			echo "a failed PUT left something else than the old file or the new one"
	fi
	timeout 60 "$tftp" get "$url/file" "$here/after" 2>/dev/null && cmp -s "$here/root/file" "$here/after" ||
		echo "the server does not serve afterwards"
}

open_fds() { ls "/proc/$1/fd" | wc -l; }
rss() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status"; }
# busy: transfers are still under way; each has a socket
no_parts() { [ -z "$(find "$here/root" -name '.tftp-part-*')" ]; }
at_rest() { [ "$(open_fds "$server_pid")" -le "$fds" ]; }

# worker I OF CASES OPTIONS...: every OFth case, on a server of its own. The preloaded library reads and writes
# files of its own, which Landlock would not let it.
worker() {
	here=$tmp/worker$1
	mkdir -p "$here/root"
	chmod 777 "$here/root"
	bytes 150000 "$here/root/file"
	bytes 1000 "$here/old"
	me=$1 of=$2 list=$3
	shift 3
	FAULT_PLAN=$here/plan FAULT_MARK=$here/mark LD_PRELOAD=$preload \
	    start_tftpd "faults$me" --give-up 3 --without landlock --create "$@" "$here/root"
	server_pid=$pid
	url=tftp://127.0.0.1:$port
	plan
	for warm in 1 2 3; do
		suffer nothing 1 $warm 1 >/dev/null
	done
	eventually sh -c "! ls -A '$here/root' | grep -q tftp-part"
	fds=$(open_fds "$server_pid") memory=$(rss "$server_pid") number=0
	$list >"$here/cases"
	while read -r call errors; do
		for error in $errors; do
			for place in $places; do
				number=$((number + 1))
				[ $((number % of)) = $((me % of)) ] || continue
				at=${place%/*} count=${place#*/}
				suffer "$call" "$error" "$at" "$count" >"$here/wrong"
				what="$call fails with errno $error, ${count}x from call $at"
				if ! kill -0 "$server_pid" 2>/dev/null; then
					not_ok "$what: the server is gone: $(tail -n 3 "$log")"
					return
				elif [ -s "$here/wrong" ]; then
					not_ok "$what: $(paste -s -d ";" "$here/wrong")"
				elif [ ! -s "$here/mark" ]; then
					# There are not so many calls of it in these transfers; but there must be one.
					[ $at -gt 1 ] || not_ok "$what: it is not called at all"
				else
					ok "$what"
				fi
			done
		done
	done <"$here/cases"
	check "server $me closes every descriptor" eventually at_rest
	check "server $me leaves no temporary file" eventually no_parts
	grown=$(($(rss "$server_pid") - memory))
	check "server $me keeps its memory (${grown} KB more)" test "$grown" -lt "$slack"
	stop "$server_pid"
	check "server $me has nothing to complain of" test "$(grep -c 'Sanitizer\|runtime error' "$log")" = 0
}

# reloader: SIGHUP while something fails. Either the old rules stay in force or all of the new ones come; once nothing
# fails the new ones do. A rule file of which half was read is neither.
reloader() {
	here=$tmp/reloader number=0
	mkdir -p "$here/root"
	bytes 1000 "$here/root/file"
	echo 'r ^n0$ file' >"$here/rules"
	free_port
	FAULT_PLAN=$here/plan FAULT_MARK=$here/mark LD_PRELOAD=$preload start reloader "$tftpd" --address "127.0.0.1:$port" \
	    --without landlock --map-file "$here/rules" --log "$here/log" "$here/root"
	server_pid=$pid
	url=tftp://127.0.0.1:$port
	knows() { "$tftp" get --max-time 60 "$url/n$1" "$here/got" 2>/dev/null && cmp -s "$here/root/file" "$here/got"; }
	told() { cat "$here"/log* | grep -c 'rules\|the old'; }
	more_told() { [ "$(told)" -gt "$before" ]; }
	# The log is rotated as well, so that it is opened anew.
	reload() {
		before=$(told)
		[ ! -e "$here/log" ] || mv "$here/log" "$here/log.$before"
		kill -HUP "$server_pid"
		eventually more_told || echo "nothing is said of a reload"
	}
	knows 0 || not_ok "the rules are in force at the start"
	fds=$(open_fds "$server_pid")
	for case in "openat $EIO 1" "openat $EMFILE 1" "openat $EIO 2" "openat $EMFILE 2" "fstat $EIO 1" "fstat $EIO 2" \
	    "fstat $ENOMEM 2" \
	    "read $EIO 1" "read $EIO 2" "read $EIO 3" "read $EIO 4" "read $EINTR 2" "read $EINTR 3" "read $EAGAIN 3"; do
		number=$((number + 1))
		echo "r ^n$number\$ file" >"$here/rules"
		: >"$here/mark"
		# shellcheck disable=SC2086 # a list of words
		plan $case 1
		wrong=$(reload)
		plan
		if knows $((number - 1)); then old=1; else old=0; fi
		if knows $number; then new=1; else new=0; fi
		[ $((old + new)) = 1 ] || wrong="$wrong the old rules: $old, the new ones: $new"
		wrong="$wrong$(reload)"
		knows $number || wrong="$wrong the next reload does not read them"
		# shellcheck disable=SC2086
		set -- $case
		if [ -n "$wrong" ]; then
			not_ok "a reload where $1 fails with errno $2, call $3:$wrong: $(cat "$here"/log* | tail -n 2 | paste -s -d ';')"
		elif [ ! -s "$here/mark" ]; then
			not_ok "a reload where $1 fails with errno $2, call $3: it is not called"
		else
			ok "a reload where $1 fails with errno $2, call $3"
		fi
	done
	check "reloads close every descriptor" eventually at_rest
	stop "$server_pid"
}

# starter: what fails while a server starts ends it with words and a status, or it does without.
starter() {
	here=$tmp/starter
	mkdir -p "$here/root"
	bytes 1000 "$here/root/file"
	echo 'r ^n$ file' >"$here/rules"
	for case in "socket $EMFILE" "socket $ENOBUFS" "bind $EADDRINUSE" "bind $EACCES" "setsockopt $ENOMEM" "openat2 $EIO" \
	    "getsockname $ENOBUFS" "fstat $EIO" "read $EIO" "openat $EMFILE" "getrandom $EAGAIN"; do
		for at in 1 2; do
			free_port
			: >"$here/mark"
			# shellcheck disable=SC2086 # a list of words
			plan $case $at 1
			what="a start where ${case% *} fails with errno ${case#* }, call $at"
			# The server alone: what starts it reads and opens too. It may have its port and fail all the same.
			if start starter env "FAULT_PLAN=$here/plan" "FAULT_MARK=$here/mark" "LD_PRELOAD=$preload" "$tftpd" \
			    --address "127.0.0.1:$port" --without landlock --create --map-file "$here/rules" "$here/root" &&
			    plan && "$tftp" get --max-time 60 "tftp://127.0.0.1:$port/n" "$here/got" 2>"$here/err"; then
				ok "$what: it serves without"
				stop "$pid"
			elif ours "$pid"; then
				not_ok "$what: it does not serve: $(cat "$here/err")"
				stop "$pid"
			elif [ ! -s "$here/mark" ] || [ ! -s "$tmp/starter.log" ]; then
				not_ok "$what: it says nothing, or nothing failed: $(cat "$tmp/starter.log")"
			else
				wait "$pid"
				status=$?
				check "$what: $(tail -n 1 "$tmp/starter.log")" test $status -ge 64 -a $status -le 78
			fi
		done
	done
}

# linkless: a file system without links. Old files are kept all the same, and the name is never missing.
linkless() {
	here=$tmp/linkless
	mkdir -p "$here/root"
	: >"$here/mark"
	plan linkat $EPERM 2 1000 # the first is for a file that is not there yet, which the kernel would say first
	FAULT_PLAN=$here/plan FAULT_MARK=$here/mark LD_PRELOAD=$preload \
	    start_tftpd linkless --without landlock --create --on-exists version --keep 2 "$here/root"
	for n in 1 2 3 4; do
		echo "version $n" >"$here/new"
		"$tftp" put "$here/new" "tftp://127.0.0.1:$port/file" || not_ok "version $n is taken without links"
	done
	check "without links the newest has the name, and those before have numbers" \
	    test "$(cd "$here/root" && cat file file.~3~ file.~2~ | tr '\n' ' ')" = "version 4 version 3 version 2 "
	check "and nothing else is there" test "$(ls -A "$here/root" | wc -l)" = 3
	check "linkat did fail" test -s "$here/mark"
	stop "$pid"
}

if [ ! -e "$preload" ]; then
	skip "system calls that fail: there is no $preload"
	exit 0
fi
places="1/1 2/1"
[ "${FAULTS:-}" = all ] && places="1/1 2/1 3/1 4/1 5/1 7/1 10/1 1/3 2/1000"
slack=1536
# A sanitizer keeps what was freed.
grep -q __asan_init "$tftpd" && slack=65536
w1() { worker 1 4 cases; }
w2() { worker 2 4 cases; }
w3() { worker 3 4 cases; }
w4() { worker 4 4 cases; }
w5() { worker 5 1 more_cases --without gso; }
together w1 w2 w3 w4 w5 reloader starter linkless
exit $failed
