#!/bin/sh
# What our client does when things go wrong: its exit status, one line on standard error, the old file as it was, and
# nothing left behind.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/here"
chmod 777 "$tmp/root"
bytes 100000 "$tmp/root/file"
bytes 0 "$tmp/root/empty"
bytes 20000 "$tmp/root/medium"
chmod 666 "$tmp/root/file"
start_tftpd server "$tmp/root"
url=tftp://127.0.0.1:$port
served=$port

# says_all URL: the line in $tmp/err names the host and the file, and what to try, which comes behind a semicolon or is
# a question
says_all() {
	host=${1#tftp://} file=${1#tftp://*/}
	host=${host%%[:/]*}
	grep -qF -- "$host" "$tmp/err" && grep -qF -- "\"$file\"" "$tmp/err" && grep -q '; \|?' "$tmp/err"
}

# fails STATUS NAME ARGUMENTS...: run in $tmp/here, which holds a file "old"
fails() {
	wanted=$1 name=$2
	shift 2
	echo old >"$tmp/here/old"
	(cd "$tmp/here" && timeout 60 "$tftp" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null)
	status=$?
	if [ $status -ne "$wanted" ]; then
		not_ok "$name: exit status $status and not $wanted ($(cat "$tmp/err"))"
	elif [ "$wanted" -ne 64 ] && [ "$(wc -l <"$tmp/err")" -ne 1 ]; then
		not_ok "$name: not one line on standard error: $(cat "$tmp/err")"
	elif [ "$wanted" -ne 64 ] && ! says_all "$(printf '%s\n' "$@" | grep '^tftp://')"; then
		not_ok "$name: host, file or what to try is missing: $(cat "$tmp/err")"
	elif [ ! -s "$tmp/err" ]; then
		not_ok "$name: no word on standard error"
	elif [ -s "$tmp/out" ]; then
		not_ok "$name: something on standard output: $(cat "$tmp/out")"
	elif [ "$(ls -A "$tmp/here")" != old ]; then
		not_ok "$name: left behind: $(ls -A "$tmp/here" | tr '\n' ' ')"
	elif [ "$(cat "$tmp/here/old")" != old ]; then
		not_ok "$name: the old file was changed"
	else
		ok "$name"
	fi
}

fails 68 "a file that is not there" get "$url/nothing" new
fails 68 "a file that is not there keeps the old one" get "$url/nothing" old
fails 69 "a name that climbs out" get "$url/../x" old
fails 69 "an upload to a server that takes none" put old "$url/new"
fails 26 "a local file that is not there" put nothing "$url/new"
fails 26 "a local directory" put . "$url/new"
fails 23 "a local directory that is not there" get "$url/file" no/such/file
fails 6 "a host that is not there" get tftp://host.invalid/file old
fails 64 "two files that would replace each other" get "$url/a/old" "$url/b/old" .
fails 64 "and two uploads" put old "$tmp/root/../here/old" "$url/"
fails 64 "and two files of a session" 127.0.0.1 -c get a/old other b/old
check "which are named" grep -q '"127.0.0.1:a/old" and "127.0.0.1:b/old"' "$tmp/err"
fails 64 "an unknown verb" fetch "$url/file"
fails 64 "an unknown option" get --no-such-option "$url/file" old
fails 64 "an unknown scheme" get http://127.0.0.1/file old
fails 64 "a URL without a host" get tftp:///file old
fails 64 "a URL without a path" get tftp://127.0.0.1 old
fails 64 "a port that is none" get tftp://127.0.0.1:99999/file old
fails 64 "a port that is a word nobody knows" get tftp://127.0.0.1:nowhere/file old
fails 64 "port 0" get tftp://127.0.0.1:0/file old
fails 64 "a block size too small" get --blksize 7 "$url/file" old
fails 64 "a block size too large" get --blksize 65465 "$url/file" old
fails 64 "a block size that is no number" get --blksize many "$url/file" old
fails 64 "a window of nothing" get --windowsize 0 "$url/file" old
fails 64 "an unknown mode" get --mode mail "$url/file" old
fails 64 "a timeout of nothing" get --timeout 0 "$url/file" old
fails 64 "a put without a URL" put old
free_port
fails 7 "nobody listens there" get "tftp://127.0.0.1:$port/file" old
fails 7 "nobody listens there, upload" put old "tftp://127.0.0.1:$port/file"

# Root is let through everywhere, so somebody else has to try.
mkdir "$tmp/theirs" "$tmp/theirs/closed"
cp "$tftp" "$tmp/theirs/tftp"
echo x >"$tmp/theirs/secret"
chmod 0 "$tmp/theirs/secret"
echo old >"$tmp/theirs/closed/open"
chmod 666 "$tmp/theirs/closed/open"
chmod 555 "$tmp/theirs/closed"
anybody=
[ "$(id -u)" -ne 0 ] || anybody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if (cd "$tmp/theirs" && $anybody ./tftp --version >/dev/null 2>&1); then
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" closed/new 2>"$tmp/err")
	check "a directory that must not be written to" test $? = 23
	check "it is said what to do about it" says_all "$url/file"
	# A file that may be written where nothing may be made beside it.
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/nothing" closed/open 2>"$tmp/err")
	check "a get that fails leaves a file as it was that can only be written over" \
	    test "$?$(cat "$tmp/theirs/closed/open")" = 68old
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" closed/open)
	check "a get that works writes it over" cmp -s "$tmp/root/file" "$tmp/theirs/closed/open"
	# As in /tmp, where only its owner may replace a file that others may write.
	mkdir -m 1777 "$tmp/theirs/sticky"
	echo old >"$tmp/theirs/sticky/shared"
	chmod 666 "$tmp/theirs/sticky/shared"
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/nothing" sticky/shared 2>"$tmp/err")
	check "a get that fails leaves a file as it was that must not be replaced" \
	    test "$?$(cat "$tmp/theirs/sticky/shared")" = 68old
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" sticky/shared)
	check "a get that works writes it over as well" cmp -s "$tmp/root/file" "$tmp/theirs/sticky/shared"
	check "and leaves nothing beside it" test "$(ls -A "$tmp/theirs/sticky")" = shared
	# Not if somebody put it there who might wait for that: he could read what is written. chown is root's.
	echo old >"$tmp/theirs/sticky/planted"
	chmod 666 "$tmp/theirs/sticky/planted"
	if chown 1234 "$tmp/theirs/sticky/planted" 2>/dev/null; then
		(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" sticky/planted 2>"$tmp/err")
		check "but not what a third party has put there" test "$?$(cat "$tmp/theirs/sticky/planted")" = 23old
	fi
	mkdir "$tmp/theirs/box"
	chmod 333 "$tmp/theirs/box"
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" box/new)
	check "a directory need not be readable" cmp -s "$tmp/root/file" "$tmp/theirs/box/new"
	echo old >"$tmp/theirs/box/protected"
	chmod 444 "$tmp/theirs/box/protected"
	(cd "$tmp/theirs" && $anybody ./tftp get "$url/file" box/protected 2>"$tmp/err")
	check "a file that must not be written is not replaced either" \
	    test "$?$(cat "$tmp/theirs/box/protected")" = 23old
	(cd "$tmp/theirs" && $anybody ./tftp put secret "$url/new" 2>"$tmp/err")
	check "a file that must not be read" test $? = 26
	check "it is said what to do about that" says_all "$url/new"
else
	skip "a directory and a file without permission: nobody else can be had here"
fi

ln -s there "$tmp/link"
echo old >"$tmp/there"
"$tftp" get "$url/file" "$tmp/link"
check "a symbolic link stays one (exit status $?)" test "$(readlink "$tmp/link")" = there
same "and what it names is replaced" "$tmp/root/file" "$tmp/there"
mkdir "$tmp/links"
ln -s links/first "$tmp/dangling"
ln -s second "$tmp/links/first"
(cd "$tmp" && "$tftp" get "$url/file" dangling)
check "so does one to a file that is not there yet (exit status $?)" test "$(readlink "$tmp/dangling")" = links/first
same "which is made" "$tmp/root/file" "$tmp/links/second"
ln -s round "$tmp/round"
"$tftp" get "$url/file" "$tmp/round" 2>"$tmp/err"
check "links that go round are a local write error" test "$?$(readlink "$tmp/round")" = 23round

# In /tmp a link may be anybody's trap, and the kernel lets nobody follow one (fs.protected_symlinks).
mkdir -m 1777 "$tmp/trap"
echo precious >"$tmp/victim"
ln -s ../victim "$tmp/trap/theirs"
ln -s theirs "$tmp/trap/mine"
ln -s ../not-there "$tmp/trap/dangling"
ln -s /dev/null "$tmp/trap/device"
if chown -h 1234 "$tmp/trap/theirs" "$tmp/trap/dangling" "$tmp/trap/device" 2>/dev/null; then
	for link in theirs mine dangling device; do
		"$tftp" get "$url/file" "$tmp/trap/$link" 2>"$tmp/err"
		check "a link that somebody else has put into a sticky directory is not followed ($link, exit status $?)" \
		    says_all "$url/file"
	done
	mkfifo "$tmp/trap/pipe"
	chown 1234 "$tmp/trap/pipe"
	cat "$tmp/trap/pipe" >"$tmp/out" &
	reader=$!
	pids="$pids $reader"
	"$tftp" --max-time 10 get "$url/file" "$tmp/trap/pipe" 2>"$tmp/err"
	check "nor is a named pipe there written to (exit status $?)" test $? = 23 -a ! -s "$tmp/out"
	stop $reader
	check "and what it names stays as it is" test "$(cat "$tmp/victim")" = precious -a ! -e "$tmp/not-there"
	chown -h 0 "$tmp/trap/theirs"
	"$tftp" get "$url/file" "$tmp/trap/mine"
	check "but one's own is" cmp -s "$tmp/root/file" "$tmp/victim"
else
	skip "somebody else's links: nobody else can be had here"
fi

# What /dev/stdout, /dev/fd/63 and the shell's >(command) are: links whose text leads nowhere.
"$tftp" get "$url/file" /dev/stdout | cat >"$tmp/out"
check "/dev/stdout may be a pipe" cmp -s "$tmp/root/file" "$tmp/out"
"$tftp" get "$url/file" /dev/fd/3 3>&1 >/dev/null | cat >"$tmp/out"
check "and so may any descriptor" cmp -s "$tmp/root/file" "$tmp/out"
{ echo before && "$tftp" --json get "$url/file" /dev/stdout 2>"$tmp/err" && echo behind; } >"$tmp/out"
{ echo before && cat "$tmp/root/file" && echo behind; } >"$tmp/wanted"
same "or a file that others write to as well" "$tmp/wanted" "$tmp/out"

# What cannot be stored is not asked for.
long=$(printf %0300d 0)
cp "$tmp/root/medium" "$tmp/root/unasked"
"$tftp" get "$url/unasked" "$tmp/here/$long" 2>"$tmp/err"
check "a name too long for a file is a local write error (exit status $?)" says_all "$url/unasked"
check "which is known before the server is asked" test "$(log_lines file=unasked)" = 0

# A host with two addresses, of which the first has no server.
printf '127.0.0.2 two.example\n127.0.0.1 two.example\n' >"$tmp/hosts"
two='mount --bind "$0/hosts" /etc/hosts && exec "$@"'
# shellcheck disable=SC2016
if unshare -m sh -c "$two" "$tmp" true 2>/dev/null &&
	[ "$(unshare -m sh -c "$two" "$tmp" getent ahostsv4 two.example | grep -c DGRAM)" = 2 ]; then
	unshare -m sh -c "$two" "$tmp" "$tftp" get "tftp://two.example:$served/file" "$tmp/here/new"
	check "where an address has no server the next one is asked (exit status $?)" cmp -s "$tmp/root/file" "$tmp/here/new"
	rm -f "$tmp/here/new"
else
	skip "a host with two addresses: it cannot be made here"
fi

# A disk that is full: 64 KB for a file of 100,000 bytes.
mkdir "$tmp/small"
if mount -t tmpfs -o size=64k tmpfs "$tmp/small" 2>/dev/null; then
	echo old >"$tmp/small/old"
	(cd "$tmp/small" && timeout 60 "$tftp" get "$url/file" old 2>"$tmp/err")
	status=$?
	check "a full disk is a local write error (exit status $status)" test $status = 23
	check "a full disk says what to do" says_all "$url/file"
	check "a full disk is one line" test "$(wc -l <"$tmp/err")" -eq 1
	check "a full disk leaves nothing" test "$(ls -A "$tmp/small")" = old
	check "a full disk keeps the old file" test "$(cat "$tmp/small/old")" = old
	# A file that is a mount point itself, as containers have them: nothing can be renamed over it.
	echo old >"$tmp/small/mounted"
	touch "$tmp/here/mounted"
	if mount --bind "$tmp/small/mounted" "$tmp/here/mounted" 2>/dev/null; then
		(cd "$tmp/here" && "$tftp" get "$url/nothing" mounted 2>"$tmp/err")
		check "a get that fails keeps a file that is a mount point" test "$?$(cat "$tmp/here/mounted")" = 68old
		(cd "$tmp/here" && "$tftp" get "$url/medium" mounted)
		check "a file that is a mount point is written over" cmp -s "$tmp/root/medium" "$tmp/here/mounted"
		cp "$tmp/root/medium" "$tmp/small/mounted"
		(cd "$tmp/here" && "$tftp" get "$url/file" mounted 2>"$tmp/err")
		check "one that has no room is not (exit status $?)" cmp -s "$tmp/root/medium" "$tmp/small/mounted"
		check "and nothing is left beside it" test "$(ls -A "$tmp/here" | tr '\n' ' ')" = "mounted old "
		umount "$tmp/here/mounted"
	fi
	rm -f "$tmp/here/mounted"
	umount "$tmp/small"
else
	skip "a full disk: no file system can be mounted here"
fi
"$tftp" get "$url/file" - 2>"$tmp/err" >/dev/full
check "a full standard output is a local write error" test $? = 23
check "a full standard output says what to do" says_all "$url/file"
for arguments in "--json get $url/file $tmp/here/got" "127.0.0.1 $served -c status" --help --version; do
	# shellcheck disable=SC2086 # a list
	"$tftp" $arguments 2>"$tmp/err" >/dev/full
	check "so is one that is full of what ${arguments%% *} prints" test "$?$(wc -l <"$tmp/err")" = 231
done
rm -f "$tmp/here/got"

# Without standard input, output or error a socket or the file itself would take their numbers.
(cd "$tmp/here" && "$tftp" -v get "$url/file" closed <&- >&- 2>&-)
check "with standard input, output and error closed a get has status $?, and its file nothing but what was sent" \
    cmp -s "$tmp/here/closed" "$tmp/root/file"
"$tftp" get "$url/nothing" "$tmp/here/closed" <&- >&- 2>&-
check "nor does a failure go into a file" cmp -s "$tmp/here/closed" "$tmp/root/file"
rm -f "$tmp/here/closed"
if under_memcheck; then
	skip "a closed standard output: valgrind opens what is closed"
else
	timeout 60 "$tftp" get "$url/file" - 2>"$tmp/err" >&-
	check "a closed standard output is a local write error" test $? = 23
fi

# A pipe whose reader goes away must not end it by a signal without a word.
{ "$tftp" get "$url/file" - 2>"$tmp/err"; echo $? >"$tmp/status"; } | head -c 10 >/dev/null
check "a reader that goes away is a local write error" test "$(cat "$tmp/status")" = 23
check "a reader that goes away is said" says_all "$url/file"

# A pipe that is full and that nobody empties: the client waits in vain, but not for ever.
# full_pipe SIGNAL ARGUMENTS...: the client with such a pipe for its output; SIGNAL comes once it is full, 0 is none.
# Its exit status becomes ours.
full_pipe() {
	# shellcheck disable=SC2016
	timeout 60 perl -e '
		my $signal = shift;
		pipe(R, W) && fcntl(W, 1031, 4096) or die; # F_SETPIPE_SZ
		my $pid = fork // die;
		if ($pid == 0) {
			$SIG{INT} = "DEFAULT";
			open(STDOUT, ">&W") && close(R) && exec @ARGV;
			exit 99;
		}
		close W;
		$SIG{ALRM} = sub { kill "KILL", $pid };
		alarm 50;
		for (my $held = ""; ; select(undef, undef, undef, 0.05)) {
			ioctl(R, 0x541b, $held = pack("i", 0)) or die; # FIONREAD
			last if unpack("i", $held) >= 4096 || !-e "/proc/$pid/fd/2";
		}
		select(undef, undef, undef, 0.2);
		kill $signal, $pid if $signal;
		waitpid $pid, 0;
		exit($? & 127 ? 99 : $? >> 8)' "$@" 2>"$tmp/err"
}
for signal in INT TERM HUP; do
	full_pipe $signal "$tftp" get "$url/file" -
	check "SIG$signal ends what waits for the reader of a pipe (exit status $?)" test $? = 130
	check "and is one line that says all" says_all "$url/file"
done
full_pipe 0 "$tftp" --max-time 1 get "$url/file" -
check "so does --max-time" test "$?$(grep -c -- --max-time "$tmp/err")$(wc -l <"$tmp/err")" = 2811

# Interrupted: a server that never answers keeps it waiting. It writes down each file that it is asked about: the
# kernel's list of sockets, which has what waits in them, may pass over one while others come and go.
free_port
perl -MSocket -MIO::Handle -e '
	socket(S, PF_INET, SOCK_DGRAM, 0) && bind(S, sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die;
	open(HEARD, ">", $ARGV[1]) or die;
	HEARD->autoflush(1);
	alarm 300;
	# SIOCGSTAMP: when the last packet arrived, in seconds and microseconds; asked once in vain it begins to be kept.
	my $at = pack("l!2", 0, 0);
	ioctl(S, 0x8906, $at);
	while (defined recv(S, $_, 65536, 0)) {
		ioctl(S, 0x8906, $at);
		printf HEARD "%s %d.%06d\n", unpack("x2 Z*", $_), unpack("l!2", $at);
	}' "$port" "$tmp/heard" &
silent=$!
pids="$pids $silent"
check "a server that never answers is up" eventually test -e "$tmp/heard"
# heard NAME: it was asked about that file
heard() { grep -q "^$1 " "$tmp/heard"; }
for signal in INT TERM; do
	echo old >"$tmp/here/old"
	# In a shell without job control, background processes ignore SIGINT; perl takes that back.
	(
		cd "$tmp/here" || exit
		exec perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$tftp" get "tftp://127.0.0.1:$port/$signal" old
	) >"$tmp/out" 2>"$tmp/err" &
	client=$!
	eventually heard $signal
	sleep 0.2
	ours $client && kill -$signal $client
	wait $client
	status=$?
	case $signal in
	INT) check "^C is exit status 130 (it was $status)" test $status = 130 ;;
	TERM) check "SIGTERM ends it with a failure (it was $status)" test $status -gt 0 ;;
	esac
	check "SIG$signal is one line that says all" says_all "tftp://127.0.0.1:$port/$signal"
	check "SIG$signal leaves nothing" test "$(ls -A "$tmp/here")" = old
	check "SIG$signal keeps the old file" test "$(cat "$tmp/here/old")" = old
done
# Started by nohup, or in the background of a script, it goes on where others would end.
(
	trap '' INT HUP
	exec "$tftp" get "tftp://127.0.0.1:$port/y" "$tmp/here/new"
) >"$tmp/out" 2>"$tmp/err" &
client=$!
# blocks_term: it has seen to its signals
blocks_term() { awk '$1 == "SigBlk:" { found = $2 ~ /4...$/ } END { exit !found }' "/proc/$client/status"; }
eventually blocks_term
kill -HUP $client
kill -INT $client
sleep 0.2
check "signals that are ignored do not end it" ours $client
kill -TERM $client
wait $client
check "others do (exit status $?)" grep -q '^tftp: interrupted' "$tmp/err"
# What a pipe gives may take its time. A server that was asked already would give up.
mkfifo "$tmp/slow"
"$tftp" put - "tftp://127.0.0.1:$port/slow" <"$tmp/slow" >"$tmp/out" 2>"$tmp/err" &
client=$!
pids="$pids $client"
exec 9>"$tmp/slow"
eventually blocks_term
sleep 1.2
echo data >&9
sleep 0.2
check "no server is asked before there is a block to send" sh -c "! grep '^slow ' '$tmp/heard'"
exec 9>&-
check "or the end of all" eventually heard slow
# What counts is the time between two requests: how many there are by now says how busy the machine is.
heard_again() { [ "$(grep -c '^slow ' "$tmp/heard")" -ge 2 ]; }
eventually heard_again
between=$(awk '$1 == "slow" && n++ < 2 { took = $2 - took } END { print took }' "$tmp/heard")
check "and what that took is not held against it: $between s until it is asked again" \
    awk "BEGIN { exit !($between > 0.5 && $between < 100) }"
stop $client
rm "$tmp/slow"
stop $silent

# Once a server takes what a pipe gives, it has only so much patience with it.
start_tftpd hasty --create --give-up $((2 * slow)) "$tmp/root"
mkfifo "$tmp/slow"
"$tftp" put - "tftp://127.0.0.1:$port/z" <"$tmp/slow" >"$tmp/out" 2>"$tmp/err" &
client=$!
pids="$pids $client"
exec 9>"$tmp/slow"
cat "$tmp/root/file" >&9
wait $client
check "a pipe that stops in the middle costs the upload (exit status $?)" says_all "tftp://127.0.0.1:$port/z"
check "and it is said whose fault that is" grep -q "standard input gave nothing" "$tmp/err"
exec 9>&-
rm "$tmp/slow"
stop "$pid"
port=$served

# What may keep it waiting before it can ask: somebody at the other end of a named pipe, a name server.
# early NAME COMMAND...: ^C ends it, and so does --max-time
early() {
	waited=$1
	shift
	"$@" --max-time 1 2>"$tmp/err"
	check "$waited is no longer waited for than --max-time" test $? = 28
	check "$waited: one line names --max-time" test "$(grep -c -- --max-time "$tmp/err")$(wc -l <"$tmp/err")" = 11
	perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$@" 2>"$tmp/err" &
	client=$!
	eventually blocks_term
	sleep 0.2
	kill -INT $client
	wait $client
	status=$?
	check "$waited is no longer waited for than ^C (status $status)" test $status = 130
	check "$waited: one line says so" test "$(grep -c interrupted "$tmp/err")$(wc -l <"$tmp/err")" = 11
}
mkfifo "$tmp/fifo"
early "who writes to a named pipe" "$tftp" put "$tmp/fifo" "$url/x"
early "who reads from a named pipe" "$tftp" get "$url/file" "$tmp/fifo"
(sleep 0.3; cat "$tmp/fifo" >"$tmp/out") &
pids="$pids $!"
"$tftp" get "$url/file" "$tmp/fifo"
wait $!
check "once it is read a file goes through it (status $?)" cmp -s "$tmp/root/file" "$tmp/out"
cat >"$tmp/dark" <<'END'
	ip link set lo up && mount --bind "$1/resolv.conf" /etc/resolv.conf || exit 99
	rm -f "$1/asked"
	perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0) && bind(S, sockaddr_in(53, inet_aton("127.0.0.9"))) or die;
		open(F, ">", $ARGV[0]) && close(F); sleep 1 while -e $ARGV[0]' "$1/asked" &
	while [ ! -e "$1/asked" ]; do sleep 0.05; done
	shift
	exec "$@"
END
echo "nameserver 127.0.0.9" >"$tmp/resolv.conf"
if unshare -nm sh "$tmp/dark" "$tmp" true 2>/dev/null; then
	early "a name server" unshare -nm sh "$tmp/dark" "$tmp" "$tftp" get tftp://boot.example/x "$tmp/here/new"
	echo boot.example >"$tmp/lines"
	perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' unshare -nm sh "$tmp/dark" "$tmp" "$tftp" <"$tmp/lines" 2>"$tmp/err" &
	client=$!
	eventually blocks_term
	sleep 0.2
	kill -INT $client
	wait $client
	check "nor by a session whose first line may be a host (status $?)" test ! -s "$tmp/err"
	rm -f "$tmp/asked"
else
	skip "a name server that does not answer: no namespaces here"
fi

# Killed by SIGKILL at any moment: nothing can be cleaned up then, so there must be nothing to clean up. The one exception
# is the moment between the two system calls that put the whole file in its place.
truncate -s 40M "$tmp/root/large"
echo end >>"$tmp/root/large"
# whole_or_old DIRECTORY: what is there is the old file, or the new one
whole_or_old() {
	for left in $(ls -A "$1"); do
		[ "$left" = new ] && [ "$(cat "$1/new" | head -c 4)" = old ] && continue
		cmp -s "$1/$left" "$tmp/root/large" || return 1
	done
}
# killed_often: kill -9 after 0 to 96 ms, with and without an old file. Between the two calls once or twice, not always.
killed_often() {
	between=0
	for round in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		mkdir "$tmp/kill"
		[ $((round % 2)) = 0 ] && echo old >"$tmp/kill/new"
		before=$(ls -A "$tmp/kill")
		"$tftp" get "$url/large" "$tmp/kill/new" 2>"$tmp/err" &
		client=$!
		sleep 0.0$((round * 6 / 10))$((round * 6 % 10))
		kill -9 $client 2>/dev/null
		wait $client 2>/dev/null
		whole_or_old "$tmp/kill" || return 1
		[ -z "$before" ] || [ -e "$tmp/kill/new" ] || return 1
		case $(ls -A "$tmp/kill" | grep -vxc new) in
		0) ;;
		1) between=$((between + 1)) ;;
		*) return 1 ;;
		esac
		rm -r "$tmp/kill"
	done
	[ $between -le 2 ]
}
if perl -e 'use Fcntl; exit !sysopen(F, $ARGV[0], 020200000 | O_RDWR, 0600)' "$tmp/here"; then
	killed_often
	check "kill -9 at any moment leaves the old file or the new one, and nothing else" test $? = 0
	rm -rf "$tmp/kill"
else
	skip "kill -9: this file system has no files without a name"
fi

# Where a file system cannot do without a name, and where it cannot give one later.
preload=$build/tests/fault_preload.so
# without CALL ERRNO: a get while that call fails
without() {
	echo "$1 $2 1 1000 1" >"$tmp/plan"
	rm -f "$tmp/mark"
	(cd "$tmp/here" && ASAN_OPTIONS=verify_asan_link_order=0 FAULT_PLAN=$tmp/plan FAULT_MARK=$tmp/mark \
	    LD_PRELOAD=$preload timeout 60 "$tftp" get "$url/file" old)
	check "a get with $1 failing has status $?, and comes to the same" cmp -s "$tmp/here/old" "$tmp/root/file"
	check "a get with $1 failing leaves nothing" test "$(ls -A "$tmp/here")" = old
	check "$1 did fail" test -s "$tmp/mark"
}
if [ -e "$preload" ]; then
	without linkat 1
	echo "ppoll 22 2 1 1" >"$tmp/plan"
	(cd "$tmp/here" && ASAN_OPTIONS=verify_asan_link_order=0 FAULT_PLAN=$tmp/plan LD_PRELOAD=$preload \
	    timeout 60 "$tftp" --blksize 512 --windowsize 1 get "$url/large" new 2>"$tmp/err")
	check "a get that cannot wait any more is a failure" test "$?$(wc -l <"$tmp/err")$(ls -A "$tmp/here")" = 71old
	check "and says why" says_all "$url/large"
	echo "openat 95 1 1 1" >"$tmp/plan"
	chmod 640 "$tmp/here/old"
	ASAN_OPTIONS=verify_asan_link_order=0 FAULT_PLAN=$tmp/plan LD_PRELOAD=$preload "$tftp" get "$url/large" \
	    "$tmp/here/old"
	same "without O_TMPFILE a file has a name meanwhile" "$tmp/root/large" "$tmp/here/old"
	check "which is gone then" test -z "$(ls -A "$tmp/here")"
else
	rm "$tmp/here/old"
	skip "file systems that cannot do without a name: there is no $preload"
fi

# What a killed client has left behind is removed by the next one, and nothing else.
echo half >"$tmp/here/.tftp-part-0123456789abcdef"
echo mine >"$tmp/here/.tftp-part-notes"
perl -e 'use Fcntl ":flock"; open(F, ">", $ARGV[0]) && flock(F, LOCK_EX) && rename($ARGV[0], $ARGV[1]) or die; sleep 300' \
    "$tmp/locked" "$tmp/here/.tftp-part-1123456789abcdef" &
writer=$!
pids="$pids $writer"
check "somebody writes" eventually test -e "$tmp/here/.tftp-part-1123456789abcdef"
(cd "$tmp/here" && "$tftp" get "$url/file" "$url/empty" .)
check "the next run removes what a killed one left, and nothing that is in use or somebody else's" \
    test "$(ls -A "$tmp/here" | tr '\n' ' ')" = ".tftp-part-1123456789abcdef .tftp-part-notes empty file "
stop $writer
exit $failed
