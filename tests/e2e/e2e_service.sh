#!/bin/sh
# The server as a service: what the manager hears and when, reloading, a status, stopping, and the log in each place and
# format. systemd itself is in long_systemd.sh; here its side is played by a few lines of Perl.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/here" "$tmp/logs"
bytes 2000000 "$tmp/root/file"
echo hello >"$tmp/root/small"

# gone_or_zombie PID: a child has ended
gone_or_zombie() { ! ours "$1"; }

# ---- a manager ------------------------------------------------------------------------------------------------------

# Writes each message that arrives at the socket $1 to the file $2, a line each, newlines as spaces.
cat >"$tmp/manager" <<'END'
use IO::Socket::UNIX; use Socket;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
open(my $f, ">>", $ARGV[1]) or die; $f->autoflush(1);
while (defined $s->recv(my $m, 4096)) { $m =~ s/\n/ /g; print $f "$m\n"; }
END
perl "$tmp/manager" "$tmp/notify" "$tmp/heard" &
pids="$pids $!"
eventually test -S "$tmp/notify"
chmod 666 "$tmp/notify"
free_port
start service env NOTIFY_SOCKET="$tmp/notify" WATCHDOG_USEC=1000000 "$tftpd" --address "127.0.0.1:$port" "$tmp/root"
log=$tmp/service.log
server=$pid
url=tftp://127.0.0.1:$port
heard() { grep -qF "$1" "$tmp/heard" 2>/dev/null; }
said=$(NOTIFY_SOCKET="$tmp/notify" "$tftpd" --address "127.0.0.1:$port" /home/no/such/directory 2>&1)
check "a directory that the service cannot see is told apart ($said)" test "${said#*ProtectHome=}" != "$said"
check "the manager hears that it is ready" eventually heard "READY=1"
check "and what is served where" heard "STATUS=serving $tmp/root on 127.0.0.1:$port, 0 transfers"
check "a ready server answers" "$tftp" get "$url/small" "$tmp/here/back"
check "the manager hears that it lives" eventually heard "WATCHDOG=1"
kill -HUP $server
check "the manager hears of a reload" eventually heard "RELOADING=1"
check "with the time that it wants" grep -qE 'RELOADING=1 MONOTONIC_USEC=[0-9]+' "$tmp/heard"
twice() { [ "$(grep -c READY=1 "$tmp/heard")" = 2 ]; }
check "and of its end" eventually twice

# ---- a slow transfer: status, stop ----------------------------------------------------------------------------------

# A client by hand, which asks, acknowledges three blocks and then waits: $1 port, $2 file, $3 seconds.
cat >"$tmp/slow" <<'END'
use IO::Socket::INET;
my ($port, $file, $wait) = @ARGV;
my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1") or die;
my $to = sockaddr_in($port, inet_aton("127.0.0.1"));
$s->send("\0\1$file\0octet\0", 0, $to);
for my $block (1 .. 4) {
	my ($from, $data);
	# What comes again, because we were slow, is none of the next.
	do { $from = $s->recv($data, 1000) } until unpack("x2 n", $data) == $block;
	$s->send(pack("nn", 4, $block), 0, $from) if $block < 4;
}
select(undef, undef, undef, $wait);
END
perl "$tmp/slow" "$port" file 120 &
reader=$!
pids="$pids $reader"
check "the manager hears how many transfers run" eventually heard ", 1 transfer"
# counted TEXT: the status has it; asked each time, as the transfer has just begun
counted() {
	kill -USR1 $server
	grep -q "$1" "$log"
}
check "SIGUSR1 logs the counters" eventually counted '^status '
check "and a line for the running transfer" \
    eventually counted '^running read file=file peer=127.0.0.1:[0-9]* state=sending bytes=1536 '
check "with what has been sent" eventually counted '^status up=[0-9]*s running=1 sent=1 received=0 bytes-sent=6 '
# Four; the client would stay for thirty.
before=$(date +%s)
kill -TERM $server
check "the manager hears that it stops" eventually heard "STOPPING=1"
wait $server
status=$?
took=$(($(date +%s) - before))
check "it ends well (status $status)" test $status = 0
check "running transfers are given a few seconds, and no more ($took)" test $took -ge 2 -a $took -lt 20
kill $reader 2>/dev/null

# ---- the log --------------------------------------------------------------------------------------------------------

# logs NAME COMMAND...: a server that has served "small", refused "no" once, and been stopped.
logs() {
	what=$1
	shift
	free_port
	start "$what" "$@" --address "127.0.0.1:$port" "$tmp/root"
	"$tftp" get "tftp://127.0.0.1:$port/small" "$tmp/here/back"
	"$tftp" get "tftp://127.0.0.1:$port/no \"thing\"" "$tmp/here/back" 2>/dev/null
	served() { grep -q "thing" "${file:-$tmp/$what.log}"; }
	eventually served || not_ok "$what: nothing was logged"
	stop "$pid"
}

file=$tmp/logs/text
logs text "$tftpd" --log "$file"
check "each line of a file says when" sh -c "! grep -qvE '^20[0-9-]*T[0-9:.]*Z ' '$file'"
check "nothing goes to standard error then" test ! -s "$tmp/text.log"
check "others cannot read the log" test "$(stat -c %a "$file")" = 640
check "a transfer is one line" test "$(grep ' sent file=small ' "$file" | grep -o ' peer=127.0.0.1:[0-9]*' | sort -u | wc -l)" = 1
check "a refusal has its reason" grep -q ' refused read .* code=1 reason="file not found"' "$file"

file=$tmp/logs/kv
logs kv "$tftpd" --log "$file" --log-format kv
check "a line can be fields only" grep -q '^time=20[^ ]*Z level=info event=sent file=small .*rate_MBps=' "$file"

file=$tmp/logs/json
logs json "$tftpd" --log "$file" --log-format json
perl -MJSON::PP -ne '
	my $o = JSON::PP->new->decode($_);
	# By peer: one that has to wait asks again.
	$sent{$o->{peer}}++ if ($o->{event} // "") eq "sent" && $o->{file} eq "small" && $o->{bytes} == 6 && $o->{time} && $o->{level} eq "info";
	$refused{$o->{peer}}++ if ($o->{event} // "") eq "refused read" && $o->{file} eq "no \"thing\"" && $o->{code} == 1;
	END { exit(!(keys %sent == 1 && keys %refused == 1)) }' "$file"
check "a line can be JSON" test $? = 0
file=

# The journal: standard error is a stream that the variable names. Behind chroot, without /proc, a leak checker would
# complain there itself.
mkfifo "$tmp/journal"
cat "$tmp/journal" >"$tmp/journal.text" &
reader=$!
pids="$pids $reader"
free_port
# shellcheck disable=SC2016 # expanded by the inner shell
JOURNAL_STREAM=$(stat -c %d:%i "$tmp/journal") sh -c 'exec "$0" --verbose --user "$(id -un)" --address "127.0.0.1:$1" "$2" 2>"$3"' \
    "$tftpd" "$port" "$tmp/root" "$tmp/journal" &
pid=$!
pids="$pids $pid"
eventually taken "$port"
"$tftp" get "tftp://127.0.0.1:$port/small" "$tmp/here/back"
stop $pid
wait $reader
check "the journal is told the level" grep -q '^<5>serving ' "$tmp/journal.text"
check "of each line" grep -q '^<6>sent file=small ' "$tmp/journal.text"
check "and there is no line without" sh -c "! grep -qv '^<[3-7]>' '$tmp/journal.text'"

# Somebody has stopped to read what standard error leads to: a pager, a terminal that is held, a collector that hangs.
mkfifo "$tmp/held"
exec 9<>"$tmp/held"
free_port
# shellcheck disable=SC2016 # expanded by the inner shell
sh -c 'exec "$0" --user "$(id -un)" --address "127.0.0.1:$1" "$2" 2>"$3" 9>&-' "$tftpd" "$port" "$tmp/root" "$tmp/held" &
pid=$!
pids="$pids $pid"
eventually taken "$port"
# More than a pipe holds, and less than may be logged at once.
perl -MIO::Socket::INET -e '
	my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:$ARGV[0]") or die;
	for (1 .. 800) { $s->send("\0\2" . "x" x 200 . "\0octet\0"); $s->recv(my $answer, 600) }' "$port" &
storm=$!
pids="$pids $storm"
check "a log that nobody reads holds up nobody" eventually gone_or_zombie "$storm"
check "and the server serves" timeout 60 "$tftp" get "tftp://127.0.0.1:$port/small" "$tmp/here/back"
: >"$tmp/held.text"
cat <&9 >>"$tmp/held.text" &
reader=$!
pids="$pids $reader"
all_there() { [ "$(grep -c '^refused write .*xxx' "$tmp/held.text")" = 800 ] && grep -q '^sent file=small' "$tmp/held.text"; }
check "nothing is missing once it is read" eventually all_there
check "nor is that said" sh -c "! grep -q 'lines are missing' '$tmp/held.text'"
exec 9>&-
kill "$reader" 2>/dev/null
stop "$pid"
# A terminal says that it takes more as soon as it takes one byte more, and then has us wait for room for the rest.
free_port
cat >"$tmp/terminal.pl" <<'END'
use IO::Socket::INET;
my ($port, $root, @server) = @ARGV;
open my $held, "+<", "/dev/ptmx" or exit 77;
my $number = pack "i", 0;
ioctl $held, 0x40045431, $number or exit 77; # TIOCSPTLCK
ioctl $held, 0x80045430, $number or exit 77; # TIOCGPTN
open my $terminal, "+<", "/dev/pts/" . unpack("i", $number) or exit 77;
my $pid = fork // die;
if ($pid == 0) {
	open STDERR, ">&", $terminal;
	exec @server, "--address", "127.0.0.1:$port", $root;
}
my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:$port") or die;
my ($answers, $silences) = (0, 0);
# More than the terminal's buffers hold. Nobody answers before the server is up, and then nobody may stay silent.
while ($answers < 800 && $silences < ($answers > 0 ? 5 : 600)) {
	my $bits = "";
	vec($bits, fileno $s, 1) = 1;
	$s->send("\0\2" . "x" x 200 . "\0octet\0");
	if (select($bits, undef, undef, $answers > 0 ? 3 : 0.1) && defined $s->recv(my $answer, 600)) {
		$answers++;
		$silences = 0;
	} else {
		$silences++;
		select undef, undef, undef, 0.05;
	}
}
kill "KILL", $pid;
waitpid $pid, 0;
print "$answers\n";
END
told=$(timeout 120 perl "$tmp/terminal.pl" "$port" "$tmp/root" "$tftpd" --user "$(id -un)")
if [ $? = 77 ]; then
	skip "a terminal that nobody reads: there is none to be had"
else
	check "a terminal that nobody reads holds up nobody ($told answers)" test "$told" = 800
fi

# ---- misses ---------------------------------------------------------------------------------------------------------

start_tftpd misses "$tmp/root"
for name in 1 2 3 4 5 6 7 8 9; do
	"$tftp" get "tftp://127.0.0.1:$port/pxelinux.cfg/$name" "$tmp/here/back" 2>/dev/null
done
"$tftp" get "tftp://127.0.0.1:$port/small" "$tmp/here/back"
for name in vmlinuz initrd; do
	"$tftp" get "tftp://127.0.0.1:$port/$name" "$tmp/here/back" 2>/dev/null
done
stop "$pid"
check "three misses of a client have lines" test "$(log_lines 'file=pxelinux.cfg/')" = 3
check "and one more after a file that it got" test "$(log_lines 'refused read file=vmlinuz ')" = 1
# More than seven where a request had to be repeated.
check "the others are summed up" grep -qE '^not logged misses=([7-9]|[1-9][0-9]) probes=0 ' "$log"

# ---- what is wrong --------------------------------------------------------------------------------------------------

says() { # NAME STATUS WORDS OPTIONS...
	what=$1 wanted=$2 words=$3
	shift 3
	timeout 60 "$tftpd" --address "127.0.0.1:$port" "$@" "$tmp/root" >"$tmp/err" 2>&1
	check "$what is exit status $wanted" test $? = "$wanted"
	check "$what is said in words ($(head -n 1 "$tmp/err"))" grep -qF -- "$words" "$tmp/err"
}
says "a log that cannot be made" 73 "\"/nowhere/log\": No such file" --log /nowhere/log
says "a log that is a directory" 73 "\"$tmp/\"" --log "$tmp/"
says "an unknown format" 64 "--log-format \"xml\"" --log-format xml
says "an empty place" 64 "--log" --log ""
[ -e /dev/log ] || says "syslog where there is none" 73 "\"syslog\"" --log syslog

# One behind a link into another directory is opened where that led.
mkdir "$tmp/logs/behind"
ln -s "$tmp/logs/behind/log" "$tmp/here/log"
free_port
start linked "$tftpd" --address "127.0.0.1:$port" --log "$tmp/here/log" "$tmp/root"
eventually grep -q serving "$tmp/logs/behind/log"
mv "$tmp/logs/behind/log" "$tmp/logs/behind/log.1"
kill -HUP "$pid"
check "a log behind a link is opened again" eventually grep -qs reloaded "$tmp/logs/behind/log"
stop "$pid"

# A log that cannot be opened again stays as it is, and says so.
mkdir "$tmp/logs/sub"
log=$tmp/logs/sub/log
free_port
start stuck "$tftpd" --address "127.0.0.1:$port" --log "$log" "$tmp/root"
mv "$tmp/logs/sub" "$tmp/logs/moved"
rm "$tmp/logs/moved/log.1" 2>/dev/null
mv "$tmp/logs/moved/log" "$tmp/logs/moved/old"
mkdir "$tmp/logs/moved/log"
kill -HUP "$pid"
stuck() { grep -q 'cannot open the log file anew' "$tmp/logs/moved/old"; }
check "a log that cannot be opened again stays in use" eventually stuck
check "and the server with it" "$tftp" get "tftp://127.0.0.1:$port/small" "$tmp/here/back"
stop "$pid"
exit $failed
