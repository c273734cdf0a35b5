#!/bin/sh
# in.tftpd as init scripts and units start it: in the background, with a pid file, as another user, in a chroot; and the
# same without root as far as that goes.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p "$tmp/root/sub"
printf 'content' >"$tmp/root/file"
printf 'r ^old$ file\n' >"$tmp/rules"
chmod 644 "$tmp/root/file" "$tmp/rules"
chmod 777 "$tmp/root"
ln -s "$tftpd" "$tmp/in.tftpd"
log=$tmp/daemon.log

answer() {
	got=$(printf '%s\n' "$2" | perl "$(dirname "$0")/ask.pl" "$port")
	case $got in
	"$2: "$3) ok "$1" ;;
	*) not_ok "$1: $got" ;;
	esac
}
gone() { ! kill -0 "$1" 2>/dev/null; }

# ---- in the background ----------------------------------------------------------------------------------------------

free_port
user=$(id -un)
timeout 60 "$tmp/in.tftpd" --listen --user "$user" --address "127.0.0.1:$port" --pidfile "$tmp/pid" -c -p -m "$tmp/rules" \
	--path-prefix "$tmp/root" -/ / >"$log" 2>&1
status=$?
check "--listen returns once the server is up ($status: $(cat "$log"))" test $status = 0
check "and says nothing, but where there is no syslog" test "$(grep -vc 'nothing will be logged' "$log")" = 0
[ -e /dev/log ] || check "then that" grep -q 'nothing will be logged' "$log"
pid=$(cat "$tmp/pid")
pids="$pids $pid"
check "the pid file names it" grep -q "$(id -u)" "/proc/$pid/status"
check "it has left its terminal and session" test "$(awk '{ print $6 }' "/proc/$pid/stat")" = "$pid"
answer "it serves" 'R file octet' 'served 7 *'
answer "by its rules" 'R old octet' 'served 7 *'
answer "and takes uploads" 'W new octet 100' 'taken'
check "its working directory is /" test "$(readlink "/proc/$pid/cwd")" = /
kill "$pid"
check "SIGTERM ends it" eventually gone "$pid"
removed() { [ ! -e "$tmp/pid" ]; }
check "and the pid file goes with it" eventually removed

# Started with none of the three open, as by a supervisor that closes everything.
free_port
rm -f "$tmp/pid"
timeout 60 "$tmp/in.tftpd" -l -u "$user" -a "127.0.0.1:$port" -P "$tmp/pid" --log "$tmp/closed.log" -p -s "$tmp/root" \
	<&- >&- 2>&-
check "it starts where standard input, output and error are closed" test $? = 0
pid=$(cat "$tmp/pid")
answer "and serves" 'R file octet' 'served 7 *'
check "nothing of its own is in their place" test "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" |
	sort -u)" = /dev/null
kill "$pid"
check "and it hears SIGTERM" eventually gone "$pid"
gone "$pid" || kill -9 "$pid"

# Who is still busy with its last transfers when its successor starts, on the same port, leaves the pid file to that.
bytes 100000 "$tmp/root/long"
free_port
start old "$tftpd" -a "127.0.0.1:$port" -P "$tmp/pid" "$tmp/root"
old=$pid
perl -MIO::Socket::INET -e '
	my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1") or die;
	my $to = sockaddr_in($ARGV[0], inet_aton("127.0.0.1"));
	$s->send("\0\1long\0octet\0", 0, $to);
	my $from = $s->recv(my $data, 1000);
	$s->send(pack("nn", 4, 1), 0, $from);
	sleep 30' "$port" &
reader=$!
pids="$pids $reader"
running() {
	kill -USR1 "$old"
	grep -q '^running read file=long .*bytes=512 ' "$tmp/old.log"
}
eventually running
kill "$old"
eventually grep -q '^stopping ' "$tmp/old.log"
start new "$tftpd" -a "127.0.0.1:$port" -P "$tmp/pid" "$tmp/root"
names() { [ "$(cat "$tmp/pid")" = "$1" ]; }
check "a successor writes the pid file" eventually names "$pid"
wait "$old"
check "and the end of who is busy still leaves it alone" names "$pid"
kill "$reader" 2>/dev/null
stop "$pid"
check "until its own server ends" eventually removed

# A failure after all is told to whoever started it.
timeout 60 "$tmp/in.tftpd" -l -a 127.0.0.1:0 -s "$tmp/nothing" >"$log" 2>&1
check "what cannot start says so before it is in the background" test $? = 66

# The shape that containers use.
free_port
if has_v6; then
	start shape "$tmp/in.tftpd" --stderr -L -p -c -a "127.0.0.1:$port" -a "[::1]:$port" -/ --path-prefix "$tmp/root" /
	answer "--stderr -L -p -c -a -a -/ --path-prefix DIR / serves" 'R file octet' 'served 7 *'
	answer "a name with a slash too" 'R /file octet' 'served 7 *'
	answer "and takes uploads" 'W /sub/../up octet 10' 'ERROR 2'
	answer "the prefix is not left" 'R ../rules octet' 'ERROR 2'
	check "it logs to standard error" grep -q 'sent file=file' "$tmp/shape.log"
	stop "$pid"
fi
free_port
start jail "$tmp/in.tftpd" -L -p -a "127.0.0.1:$port" --jail "$tmp/root"
answer "--jail makes names relative" 'R file octet' 'served 7 *'
answer "and .. stops at the root" 'R ../../file octet' 'served 7 *'
stop "$pid"

# Started by inetd: a socket as standard input, served until nobody has asked for a while. A request that comes after that
# is for the next one.
free_port
cat >"$tmp/inetd.pl" <<'END'
use POSIX "dup2"; use Socket;
my $port = shift;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
bind($s, sockaddr_in($port, inet_aton("127.0.0.1"))) or die;
dup2(fileno($s), 0);
vec(my $socket = "", 0, 1) = 1;
my $server;
$SIG{TERM} = sub { kill("TERM", $server) if $server; exit 1 };
$| = 1;
while (select(my $waiting = $socket, undef, undef, undef)) {
	$server = fork // die;
	exec(@ARGV) || die if $server == 0;
	waitpid($server, 0);
	$server = 0;
	print "ended with $?\n";
}
END
perl "$tmp/inetd.pl" "$port" "$tmp/in.tftpd" -t 3 -p -/ --path-prefix "$tmp/root" / >"$log" 2>&1 &
pid=$!
pids="$pids $pid"
answer "inetd's socket is served" 'R file octet' 'served 7 *'
check "and --timeout ends it" eventually grep -q '^ended with' "$log"
check "with status 0" sh -c "! grep -v 'ended with 0' '$log' | grep '^ended'"
stop "$pid"
told=$("$tftpd" --explain 192.0.2.7 read file --deny 192.0.2.0/24 "$tmp/root")
check "--explain knows who is denied" test "${told%not answered at all}" != "$told"

# Root of a user namespace may have nobody else to become, and groups that it cannot give up.
if unshare -r true 2>/dev/null; then
	for user in root nobody; do
		timeout 60 unshare -r "$tftpd" --check --user $user "$tmp/root" >"$tmp/said" 2>&1
		status=$?
		case $user in
		root) check "root of a user namespace may stay root ($(cat "$tmp/said"))" test $status = 0 ;;
		nobody) check "or is told that nobody else is there" \
			sh -c "test $status = 78 && grep -q 'cannot become user \"nobody\".*--user root stays' '$tmp/said'" ;;
		esac
	done
else
	skip "root of a user namespace: there are none here"
fi

# ---- as root --------------------------------------------------------------------------------------------------------

if [ "$(id -u)" -ne 0 ] || ! id nobody >/dev/null 2>&1; then
	skip "giving up root's rights: this is not root"
	exit $failed
fi
nobody=$(id -u nobody)
free_port
# Debian's /etc/default/tftpd-hpa: TFTP_USERNAME, TFTP_ADDRESS, TFTP_OPTIONS="--secure", TFTP_DIRECTORY.
timeout 60 "$tmp/in.tftpd" --listen --user nobody --address "127.0.0.1:$port" --secure --pidfile "$tmp/pid" -c \
	--map-file "$tmp/rules" "$tmp/root" >"$log" 2>&1
check "Debian's command line starts ($(cat "$log"))" test $? = 0
pid=$(cat "$tmp/pid")
pids="$pids $pid"
status() { awk -v k="$1:" '$1 == k { $1 = ""; print }' "/proc/$pid/status"; }
check "all user ids are nobody's" test "$(status Uid)" = " $nobody $nobody $nobody $nobody"
check "all group ids too" test "$(status Gid | tr ' ' '\n' | sort -u | grep -c .)" = 1
check "no group is left over" test "$(status Groups | tr -d ' ')" = "$(id -G nobody | tr -d ' ')"
check "no capability is left" test "$(status CapPrm | tr -d ' 0')$(status CapEff | tr -d ' 0')" = ""
check "its root is the directory" test "$(readlink "/proc/$pid/root")" = "$tmp/root"
answer "it serves" 'R file octet' 'served 7 *'
answer "a name that climbs stays in the root" 'R ../../../file octet' 'served 7 *'
answer "an upload is made as nobody" 'W byuser octet 10' 'taken'
check "that is its owner" test "$(stat -c %u:%a "$tmp/root/byuser")" = "$nobody:666"
printf 'r ^newer$ file\n' >"$tmp/rules"
kill -HUP "$pid"
reread() { printf 'R newer octet\n' | perl "$(dirname "$0")/ask.pl" "$port" | grep -q served; }
check "SIGHUP reads the rules from outside the root" eventually reread
kill -9 "$pid"
check "the pid file goes even after kill -9" eventually removed

# The port is bound before the rest is done: some of it is waited for.
in_root() { [ "$(readlink "/proc/$pid/root")" = "$1" ]; }
is_user() { [ "$(status Uid)" = " $1 $1 $1 $1" ]; }

# A port below 1024, and an upload over a file whose directory is closed: the classic set-up.
mkdir "$tmp/closed"
printf 'old content here' >"$tmp/closed/config"
chmod 666 "$tmp/closed/config"
free_port
start closed "$tmp/in.tftpd" -L -s -u nobody -a "127.0.0.1:$port" "$tmp/closed"
answer "a file that is there is written in a directory that is closed" 'W config octet 5' 'taken'
check "whole" test "$(stat -c %s "$tmp/closed/config")" = 5
answer "others are not made" 'W other octet 5' 'ERROR 1'
stop "$pid"
start native "$tftpd" -c --user nobody -a "127.0.0.1:$port" "$tmp/closed"
answer "the native server drops root's rights too" 'W other octet 5' 'ERROR 2'
check "and becomes nobody" is_user "$nobody"
check "it says who may not" grep -q "for uid $nobody" "$tmp/native.log"
printf 'secret' >"$tmp/closed/secret"
chmod 600 "$tmp/closed/secret"
answer "a file that is root's alone is not served" 'R secret octet' 'ERROR 2'
closed() { grep -q "for uid $nobody: .*secret.x22 has mode 0600 and uid 0" "$tmp/native.log"; }
check "it says why" eventually closed
mkdir -m 700 "$tmp/closed/dir"
printf 'file' >"$tmp/closed/dir/file"
answer "nor one in a directory that is" 'R dir/file octet' 'ERROR 2'
closed() { grep -q 'the directory .x22dir.x22 has mode 0700 and uid 0' "$tmp/native.log"; }
check "nor is it the file that is named" eventually closed
stop "$pid"

# Native, and nobody was named: the user tftp, or nobody, in a view of /etc/passwd in which that is so.
cat >"$tmp/as" <<'END'
mount --bind "$1" /etc/passwd || exit 99
# systemd's module for users would make up a nobody
[ ! -e /etc/nsswitch.conf ] || mount --bind "${1%/*}/nsswitch" /etc/nsswitch.conf || exit 99
shift
exec "$@"
END
printf 'passwd: files\ngroup: files\n' >"$tmp/nsswitch"
grep -v '^tftp:' /etc/passwd >"$tmp/passwd.nobody"
grep -v '^tftp:\|^nobody:' /etc/passwd >"$tmp/passwd.none"
(cat "$tmp/passwd.nobody" && echo 'tftp:x:64123:64123::/srv/tftp:/usr/sbin/nologin') >"$tmp/passwd.tftp"
if unshare --mount sh "$tmp/as" "$tmp/passwd.none" true 2>/dev/null; then
	for who in tftp nobody none; do
		log=$tmp/as-$who.log
		free_port
		start "as-$who" unshare --mount sh "$tmp/as" "$tmp/passwd.$who" "$build/../${build##*/}/tftpd" -c \
		    -a "127.0.0.1:$port" "$tmp/closed"
		case $who in
		tftp) uid=64123 words="uid 64123 may not make files in" ;;
		nobody) uid=$nobody words="there is no user tftp: running as nobody" ;;
		none) uid=0 words="running as root: there is no user tftp or nobody" ;;
		esac
		answer "with $who in /etc/passwd it serves" 'R config octet' 'served 5 *'
		check "as uid $uid" is_user $uid
		check "and says so" grep -q "$words" "$log"
		[ $who = none ] || check "its root is the directory" in_root "$tmp/closed"
		stop "$pid"
	done
else
	skip "who a native server becomes: no mount namespaces here"
fi

# A syslog that is started anew has another socket, and the server, in its chroot, finds it.
cat >"$tmp/syslog.pl" <<'END'
use Socket;
unlink("/dev/log");
socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die;
bind($s, sockaddr_un("/dev/log")) or die "$!";
chmod(0666, "/dev/log");
$| = 1;
print "up\n";
while (defined(recv($s, my $line, 2048, 0))) { print "$line\n"; }
END
cat >"$tmp/with_syslog" <<'END'
mount --bind "$1/dev" /dev || exit 99
written() {
	tries=0
	until grep -qs "$2" "$1"; do
		tries=$((tries + 1))
		[ $tries -le 300 ] || return 1
		sleep 0.05
	done
}
ask() { echo "R $1 octet" | perl "$ask" "$port" >/dev/null; }
tmp=$1 tftpd=$2 port=$3 ask=$4
perl "$tmp/syslog.pl" >"$tmp/syslog.1" 2>&1 &
first=$!
written "$tmp/syslog.1" up
"$tftpd" --log syslog --user nobody -a "127.0.0.1:$port" -L -s "$tmp/root" &
server=$!
written "$tmp/syslog.1" serving
ask before
written "$tmp/syslog.1" file=before || echo before
kill "$first"
wait "$first"
ask meanwhile
perl "$tmp/syslog.pl" >"$tmp/syslog.2" 2>&1 &
second=$!
written "$tmp/syslog.2" up
ask after
written "$tmp/syslog.2" file=after || echo after
kill "$server" "$second"
wait
END
mkdir "$tmp/dev"
for device in null zero urandom; do
	cp -a "/dev/$device" "$tmp/dev/" 2>/dev/null
done
if unshare --mount mount --bind "$tmp/dev" /dev 2>/dev/null; then
	free_port
	unshare --mount sh "$tmp/with_syslog" "$tmp" "$tftpd" "$port" "$PWD/tests/e2e/ask.pl" >"$tmp/unheard" 2>&1
	check "syslog hears it, also after its own restart ($(cat "$tmp/unheard"))" sh -c "! grep -q '^before\|^after' '$tmp/unheard'"
else
	skip "syslog: no mount namespaces here"
fi

# All that is opened later is found from there: rules, lists, the log, several directories, time zone, MAC addresses.
mkdir -p "$tmp/away" "$tmp/second" "$tmp/root/by-127.0.0.1"
chmod 777 "$tmp/away"
printf 'second' >"$tmp/second/other"
printf 'its own' >"$tmp/root/by-127.0.0.1/own"
mkdir "$tmp/elsewhere"
ln -s ../elsewhere/list "$tmp/away/list"
ln -s "$tmp/elsewhere/rules" "$tmp/away/rules"
printf '127.0.0.1\n' >"$tmp/away/list"
printf 'r ^first$ file\n' >"$tmp/away/rules"
chmod 777 "$tmp/elsewhere"
ln -s "$tmp/elsewhere/log" "$tmp/away/log"
log=$tmp/elsewhere/log
free_port
# shellcheck disable=SC2016 # the rule's
start away "$tftpd" --user nobody -a "127.0.0.1:$port" -c --map-file "$tmp/away/rules" --allow "@$tmp/away/list" \
    --log "$tmp/away/log" --pidfile "$tmp/away/pid" --upload-name '{name}-{date}-{time}' --root "$tmp/root/by-{ip}:$tmp/root:$tmp/second"
check "with several directories its root is the first" eventually in_root "$tmp/root"
answer "a rule leads to one" 'R first octet' 'served 7 *'
answer "the others are served" 'R other octet' 'served 6 *'
answer "and the client's own" 'R own octet' 'served 7 *'
today=$(date +%Y-%m-%d)
answer "an upload is taken" 'W up octet 10' 'taken'
# Midnight may have been in between.
check "with the local date" sh -c "ls '$tmp/root' | grep -q '^up-$today-\|^up-$(date +%Y-%m-%d)-'"
printf 'r ^later$ file\n' >"$tmp/away/rules"
mv "$log" "$log.1"
kill -HUP "$pid"
reloaded() { grep -qs reloaded "$log"; }
check "SIGHUP finds log, rules and list from inside, behind links too" eventually reloaded
answer "and obeys" 'R later octet' 'served 7 *'
ln -sfn "$tmp/rules" "$tmp/away/rules"
kill -HUP "$pid"
refused() { grep -q 'cannot read the rules .*; the old rules stay in force' "$log"; }
check "a link that leads to another file since is not taken for the old one" eventually refused
answer "whose rules stay" 'R later octet' 'served 7 *'
stop "$pid"
check "its pid file goes" eventually test ! -e "$tmp/away/pid"
check "nothing was wrong with the log" sh -c "! grep -q 'cannot open' '$log' '$log.1'"
start any "$tftpd" --user nobody -a "127.0.0.1:$port" --symlinks any "$tmp/root"
answer "with --symlinks any it serves" 'R file octet' 'served 7 *'
check "where links may lead anywhere there is no other root" in_root /
stop "$pid"

# Root makes the log, and the user that the server becomes cannot make it again.
mkdir "$tmp/roots"
free_port
log=$tmp/roots/log
start unlasting "$tftpd" --user nobody -a "127.0.0.1:$port" --log "$log" "$tmp/root"
words="uid $nobody cannot open the log file \"$log\" anew once it is renamed"
check "a log that cannot be rotated is named at start" eventually grep -qF "$words" "$log"
kill -HUP "$pid"
check "but one that still has its name is no mistake" eventually grep -q reloaded "$log"
mv "$log" "$log.1"
kill -HUP "$pid"
check "one that has not is" eventually grep -q 'cannot open the log file anew: Permission denied' "$log.1"
stop "$pid"
told=$("$tftpd" --check --user nobody --log "$log" "$tmp/root")
check "--check says it too" test "${told%"$words"*}" != "$told"
chmod 777 "$tmp/roots"
told=$("$tftpd" --check --user nobody --log "$log" "$tmp/root")
check "but not where it could" test "${told%cannot open*}" = "$told"

# A directory that this user cannot read: said at start, with what to do.
mkdir "$tmp/secret"
chmod 700 "$tmp/secret"
printf 'content' >"$tmp/secret/file"
chmod 600 "$tmp/secret/file"
log=$tmp/secret.log
free_port
start secret "$tftpd" --user nobody -a "127.0.0.1:$port" "$tmp/secret"
answer "files in a directory that the user cannot read are refused" 'R file octet' 'ERROR 2'
check "it is named" grep -q "uid $nobody may not read what is in \"$tmp/secret\"" "$log"
check "and gives no example of what is in it" grep -q 'fetch with: .*/FILE$' "$log"
check "with what to do" grep -q 'chmod a+rx it, or choose another user with --user' "$log"
stop "$pid"
told=$("$tftpd" --check --user nobody "$tmp/secret")
status=$?
check "--check says it too" test "${told%may not read what is in*}" != "$told"
check "with its status" test $status = 78
check "and not that all is well" test "${told%all is well*}" = "$told"
told=$("$tftpd" --check --user nobody -c "$tmp/closed")
check "and which directory takes no uploads" test "${told%may not make files in*}" != "$told"
told=$("$tftpd" --check --user nobody -c "$tmp/root")
check "but not where all is well" test "${told%may not*}" = "$told"
check "nor that root may not have a port" test "${told%cannot listen*}" = "$told"
if [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 69 ]; then
	mkdir -m 755 "$tmp/anybodys"
	cp "$tftpd" "$tmp/anybodys/tftpd"
	told=$(cd "$tmp/anybodys" && setpriv --reuid 65534 --regid 65534 --clear-groups ./tftpd --check .)
	check "for others it notes that" test "${told%note *cannot listen on *:69: ports below 1024 need root*}" != "$told"
	check "which is no mistake" test "${told%all is well}" != "$told"
	told=$(cd "$tmp/anybodys" && setpriv --reuid 65534 --regid 65534 --clear-groups ./tftpd --check --port 6969 .)
	check "others they may have" test "${told%cannot listen*}" = "$told"
	rm -r "$tmp/anybodys"
fi
# shellcheck disable=SC2016 # expanded there
if unshare --mount sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"' sh "$tmp/root" 2>/dev/null; then
	# shellcheck disable=SC2016 # expanded there
	told=$(unshare --mount sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
		NOTIFY_SOCKET=/run/none exec "$2" --check --user nobody -c "$1"' sh "$tmp/root" "$tftpd" 2>&1)
	check "what a service may not write is told apart ($told)" test "${told#*ReadWritePaths=}" != "$told"
else
	skip "a directory that a service may not write: nothing can be mounted here"
fi
start secret "$tftpd" --user root -a "127.0.0.1:$port" "$tmp/secret"
answer "--user root serves them" 'R file octet' 'served 7 *'
stop "$pid"

# Without root: no chroot, but the same names.
chmod 755 "$tmp"
if command -v setpriv >/dev/null; then
	start unpriv setpriv --reuid nobody --clear-groups "$tmp/in.tftpd" -L -s -c -a "127.0.0.1:$port" "$tmp/root"
	answer "without root --secure still serves" 'R file octet' 'served 7 *'
	answer "and holds" 'R ../../../../etc/passwd octet' 'ERROR 1'
	stop "$pid"
	setpriv --reuid nobody --clear-groups "$tmp/in.tftpd" -L -u root -s "$tmp/root" >"$log" 2>&1
	check "only root can become somebody else" test $? = 71
fi
exit $failed
