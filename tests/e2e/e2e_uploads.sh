#!/bin/sh
# Our server's uploads and its log: a broken upload leaves nothing, a full disk is ERROR 3, nothing is taken without
# --create, and each finished or refused transfer is one line of the log.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/here"
chmod 777 "$tmp/root"
bytes 400000 "$tmp/here/file"

# ---- the log --------------------------------------------------------------------------------------------------------

start_tftpd log --create "$tmp/root"
url=tftp://127.0.0.1:$port
eventually grep -q '^fetch with' "$log"
check "the server says what it serves" grep -qF "$tmp/root" "$log"
check "the server says where" grep -q "$port" "$log"

# logged NAME TEXT COUNT: exactly so many lines hold the text, soon and for good
logged() {
	at_least() { [ "$(log_lines "$1")" -ge "$2" ]; }
	eventually at_least "$2" "$3"
	check "$1" test "$(log_peers "$2")" = "$3"
}

"$tftp" put "$tmp/here/file" "$url/uploaded"
"$tftp" get "$url/uploaded" "$tmp/here/back"
same "what was uploaded comes back" "$tmp/here/file" "$tmp/here/back"
logged "an upload and a download are a line each" uploaded 2
"$tftp" get "$url/missing" "$tmp/here/back" 2>/dev/null
logged "a file that is missing is one line" missing 1
"$tftp" get "$url/../outside" "$tmp/here/back" 2>/dev/null
logged "a name that climbs out is one line" outside 1
"$tftp" put "$tmp/here/file" "$url/no-such-directory/x" 2>/dev/null
logged "an upload into no directory is one line" no-such-directory 1
check "every line names the peer" test "$(log_lines 127.0.0.1)" -ge 5
# Behind what it says at its start: each line once, as who has to wait asks again.
check "there are no other lines" test "$(sed -n '/ peer=/,$p' "$log" | sort -u | wc -l)" = 5
check "the log says how much" grep -q 400000 "$log"
stop "$pid"

# ---- without --create -----------------------------------------------------------------------------------------------

start_tftpd readonly "$tmp/root"
url=tftp://127.0.0.1:$port
cp "$tmp/root/uploaded" "$tmp/here/before"
echo x >"$tmp/here/x"
"$tftp" put "$tmp/here/x" "$url/new" 2>"$tmp/here/err"
check "a new file is refused without --create" test $? = 69
"$tftp" put "$tmp/here/x" "$url/uploaded" 2>"$tmp/here/err"
check "an existing file is refused without --create" test $? = 69
check "nothing new is there" test ! -e "$tmp/root/new"
check "nothing was changed" cmp -s "$tmp/root/uploaded" "$tmp/here/before"
logged "the refusal says what to do" --create 2
stop "$pid"

# ---- uploads that break off -----------------------------------------------------------------------------------------

start_tftpd broken --create "$tmp/root"
url=tftp://127.0.0.1:$port
for signal in TERM KILL; do
	# A pipe that stays open keeps the upload going until it is cut.
	mkfifo "$tmp/here/pipe"
	"$tftp" put - "$url/uploaded" <"$tmp/here/pipe" 2>/dev/null &
	client=$!
	pids="$pids $client"
	exec 9>"$tmp/here/pipe"
	head -c 100000 "$tmp/here/file" >&9
	unfinished() { [ -n "$(find "$tmp/root" -name '.tftp-part-*')" ]; }
	check "an upload is written beside its target" eventually unfinished
	check "the old file is what is seen meanwhile" cmp -s "$tmp/root/uploaded" "$tmp/here/before"
	ours $client && kill -$signal $client
	wait $client 2>/dev/null
	exec 9>&-
	settled() { [ "$(ls -A "$tmp/root")" = uploaded ]; }
	check "an upload cut by SIG$signal leaves nothing" eventually settled
	check "an upload cut by SIG$signal keeps the old file" cmp -s "$tmp/root/uploaded" "$tmp/here/before"
	rm -f "$tmp/here/pipe"
done
logged "each is one line" file=uploaded 2
stop "$pid"

# The server itself ends in the middle of one.
start_tftpd ending --create "$tmp/root"
url=tftp://127.0.0.1:$port
mkfifo "$tmp/here/pipe"
"$tftp" put - "$url/uploaded" <"$tmp/here/pipe" 2>/dev/null &
client=$!
pids="$pids $client"
exec 9>"$tmp/here/pipe"
head -c 100000 "$tmp/here/file" >&9
eventually unfinished
ours "$pid" && kill "$pid"
gone() { ! ours "$pid"; }
check "the server ends on SIGTERM though a transfer runs" eventually gone
wait "$pid" 2>/dev/null
status=$?
check "with status 0 (it was $status)" test $status = 0
check "and leaves nothing unfinished" settled
check "and keeps the old file" cmp -s "$tmp/root/uploaded" "$tmp/here/before"
exec 9>&-
stop $client

# ---- a full disk ----------------------------------------------------------------------------------------------------

mkdir "$tmp/small"
if mount -t tmpfs -o size=200k,mode=777 tmpfs "$tmp/small" 2>/dev/null; then
	start_tftpd full --create "$tmp/small"
	url=tftp://127.0.0.1:$port
	echo old >"$tmp/small/old"
	chmod 666 "$tmp/small/old"
	# With tsize it is known before any data, from a pipe only when it happens.
	"$tftp" put "$tmp/here/file" "$url/old" 2>"$tmp/here/err"
	status=$?
	check "an upload that cannot fit is refused as disk full ($status)" test $status = 70
	cat "$tmp/here/file" | "$tftp" put - "$url/old" 2>"$tmp/here/err"
	status=$?
	check "an upload that fills the disk ends as disk full ($status)" test $status = 70
	settled() { [ "$(ls -A "$tmp/small")" = old ]; }
	check "a full disk leaves nothing" eventually settled
	check "a full disk keeps the old file" test "$(cat "$tmp/small/old")" = old
	logged "a full disk is one line each" old 2
	"$tftp" put "$tmp/here/x" "$url/fits"
	same "a smaller file still fits" "$tmp/here/x" "$tmp/small/fits"
	stop "$pid"

	# The same where only the file can be written, not its directory: all is collected, looked at, and then written over.
	if [ "$(id -u)" -eq 0 ] && id nobody >/dev/null 2>&1; then
		rm "$tmp"/small/*
		head -c 4096 "$tmp/here/file" >"$tmp/small/old"
		cp "$tmp/small/old" "$tmp/here/before"
		chmod 666 "$tmp/small/old"
		chmod 755 "$tmp/small"
		room() { df --output=avail "$tmp/small" | tail -n 1; }
		has_room() { [ "$(room)" = "$1" ]; }
		before=$(room)
		free_port
		log=$tmp/inplace.log
		url=tftp://127.0.0.1:$port
		start inplace "$tftpd" -c --user nobody --address "127.0.0.1:$port" "$tmp/small"
		"$tftp" put "$tmp/here/file" "$url/old" 2>"$tmp/here/err"
		status=$?
		check "over a file in a closed directory, what cannot fit is refused as disk full ($status)" test $status = 70
		check "before any data" eventually grep -q 'refused write file=old .*code=3' "$log"
		cat "$tmp/here/file" | "$tftp" put - "$url/old" 2>"$tmp/here/err"
		status=$?
		check "what turns out not to fit ends as disk full ($status)" test $status = 70
		check "the old file is whole" cmp -s "$tmp/small/old" "$tmp/here/before"
		check "no room is lost" eventually has_room "$before"
		head -c 150000 "$tmp/here/file" >"$tmp/here/larger"
		"$tftp" put "$tmp/here/larger" "$url/old"
		check "a file that fits is written over" cmp -s "$tmp/small/old" "$tmp/here/larger"
		cat /dev/zero >"$tmp/small/filler" 2>/dev/null
		check "the disk is full" test "$(room)" -eq 0
		"$tftp" put "$tmp/here/larger" "$url/old"
		check "on a full disk one of the same size is taken" test $? = 0
		head -c 8192 "$tmp/here/file" >"$tmp/here/smaller"
		"$tftp" put "$tmp/here/smaller" "$url/old"
		check "and a smaller one" cmp -s "$tmp/small/old" "$tmp/here/smaller"
		cat /dev/zero >>"$tmp/small/filler" 2>/dev/null
		cat "$tmp/here/smaller" | "$tftp" put - "$url/old"
		check "its length told or not" test $? = 0
		"$tftp" put "$tmp/here/larger" "$url/old" 2>/dev/null
		check "but not a larger one" test $? = 70
		check "which leaves it whole" cmp -s "$tmp/small/old" "$tmp/here/smaller"
		stop "$pid"
	else
		skip "a full disk beneath a closed directory: not root, or no user nobody"
	fi
	umount "$tmp/small"
else
	skip "a full disk: no file system can be mounted here"
fi

# ---- a limit on the size of files ------------------------------------------------------------------------------------

# The kernel's way of saying so is a signal that ends the process.
mkdir "$tmp/limited"
free_port
log=$tmp/limited.log
url=tftp://127.0.0.1:$port
# shellcheck disable=SC2016 # the inner shell's
start limited sh -c 'ulimit -f 100; exec "$0" "$@"' "$tftpd" --create --address "127.0.0.1:$port" "$tmp/limited"
"$tftp" put "$tmp/here/file" "$url/file" 2>"$tmp/here/err"
status=$?
check "an upload beyond ulimit -f ends as too large ($status)" test $status = 70
nothing() { [ -z "$(ls -A "$tmp/limited")" ]; }
check "it leaves nothing" eventually nothing
"$tftp" put "$tmp/here/x" "$url/fits"
same "and the server serves on" "$tmp/here/x" "$tmp/limited/fits"
cp "$tmp/here/file" "$tmp/limited/large"
mkdir "$tmp/got"
(ulimit -f 100 && exec "$tftp" get "$url/large" "$tmp/got/large" 2>"$tmp/here/err")
status=$?
check "a download beyond it ends as one that cannot be written ($status)" test $status = 23
check "and leaves nothing" test -z "$(ls -A "$tmp/got")"
stop "$pid"

# ---- starting -------------------------------------------------------------------------------------------------------

# refuses STATUS NAME ARGUMENTS...
refuses() {
	wanted=$1 name=$2
	shift 2
	timeout 60 "$tftpd" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	check "$name is exit status $wanted (it was $status: $(head -n 1 "$tmp/err"))" test $status = "$wanted"
	check "$name is said in words" test -s "$tmp/err"
}
refuses 64 "an unknown option" --no-such-option "$tmp/root"
refuses 66 "a directory that is not there" --address 127.0.0.1:0 "$tmp/nothing"
refuses 66 "a file as directory" --address 127.0.0.1:0 "$tmp/here/file"
refuses 64 "an address that is none" --address "[::1:69" "$tmp/root"
start_tftpd first "$tmp/root"
refuses 71 "a port that is taken" --address "127.0.0.1:$port" "$tmp/root"
stop "$pid"
exit $failed
