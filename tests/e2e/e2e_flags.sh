#!/bin/sh
# in.tftpd's flags, of tftp-hpa 5.2 and of later ones: what each does, short, long and as --x=v. How they are together is
# compared with tftp-hpa itself in e2e_hpa.sh; the background, -u, -s, -P, -t and --jail are in e2e_daemon.sh.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p "$tmp/root/sub"
chmod 777 "$tmp/root"
printf 'content' >"$tmp/root/file"
bytes 5000 "$tmp/root/more"
chmod 644 "$tmp/root/file" "$tmp/root/more"
printf 'r ^one$ two\nr ^two$ three\nr ^three$ file\n' >"$tmp/rules"
ln -s "$tftpd" "$tmp/in.tftpd"

# serve NAME FLAGS...: in.tftpd with them on $port; the directory is the last of them
serve() {
	title=$1
	shift
	free_port
	log=$tmp/flags.log
	start flags "$tmp/in.tftpd" -L -u "$whoami" -a "127.0.0.1:$port" "$@" || not_ok "$title: it starts: $(cat "$log")"
}
# answer REQUEST ANSWER: for the last serve, whose title it gets
answer() {
	got=$(printf '%s\n' "$1" | perl "$(dirname "$0")/ask.pl" "$port")
	case $got in
	"$1: "$2) ok "$title" ;;
	*) not_ok "$title: $got" ;;
	esac
}

for flag in -W4 --windowsize=4 "--windows 4"; do
	# shellcheck disable=SC2086 # two words
	serve "$flag bounds the window" $flag -s "$tmp/root"
	answer 'R more octet windowsize 60' 'served 5000 * oack windowsize 4'
	stop "$pid"
done
serve "--window-bytes bounds its bytes" --window-bytes 2048 -s "$tmp/root"
answer 'R more octet blksize 1000 windowsize 60' 'served 5000 * oack blksize 1000 windowsize 2'
stop "$pid"
for flag in "-B 1000" --blocksize=1000; do
	# shellcheck disable=SC2086
	serve "$flag bounds the block" $flag -s "$tmp/root"
	answer 'R more octet blksize 1400' 'served 5000 * oack blksize 1000'
	stop "$pid"
done
serve "-B max does not" -B max -s "$tmp/root"
answer 'R more octet blksize 65000' 'served 5000 * oack blksize 65000'
stop "$pid"
for flag in "-r blksize" --refuse=blksize; do
	# shellcheck disable=SC2086
	serve "$flag is not granted" $flag -s "$tmp/root"
	answer 'R more octet tsize 0 blksize 1000' 'served 5000 * oack tsize 5000'
	stop "$pid"
done
serve "-m renames" -m "$tmp/rules" -s "$tmp/root"
answer 'R one octet' 'served 7 *'
stop "$pid"
serve "--map-steps ends it" --map-file="$tmp/rules" --map-steps 2 -s "$tmp/root"
answer 'R one octet' 'ERROR 2'
check "and says so" eventually grep -q 'too many steps' "$log"
stop "$pid"
for flag in "-v -v -v" -vvv "--verbosity 3" --verbosity=3; do
	# shellcheck disable=SC2086
	serve "$flag tells of rules" $flag -m "$tmp/rules" -s "$tmp/root"
	answer 'R one octet' 'served 7 *'
	check "$flag: each step has a line" grep -q 'step="rule in line 3: replaced" name=file' "$log"
	stop "$pid"
done
serve "--path-prefix goes before names" -p --path-prefix "$tmp/root" -/ /
answer 'R file octet' 'served 7 *'
stop "$pid"
for flag in -/ --rooted; do
	serve "$flag makes names begin with a slash" -p $flag /
	answer "R ${tmp#/}/root/file octet" 'served 7 *'
	stop "$pid"
done
serve "without it they must" -p /
answer "R ${tmp#/}/root/file octet" 'ERROR 2'
stop "$pid"
serve "--read-only takes no uploads" -c -p --read-only -s "$tmp/root"
answer 'W new octet 10' 'ERROR 2'
stop "$pid"
serve "--reject-all refuses reads" --reject-all -s "$tmp/root"
answer 'R file octet' 'ERROR 2'
stop "$pid"
serve "--max-upload bounds uploads" -c -p --max-upload=1K -s "$tmp/root"
answer 'W new octet 1025 tsize 1025' 'ERROR 3'
title="up to that many bytes"
answer 'W new octet 1024' 'taken'
stop "$pid"
for flag in "-U 027" --umask=027; do
	rm -f "$tmp/root/new"
	# shellcheck disable=SC2086
	serve "$flag is for new files" $flag -c -p -s "$tmp/root"
	answer 'W new octet 10' 'taken'
	check "$flag: they have these modes" test "$(stat -c %a "$tmp/root/new")" = 640
	stop "$pid"
done

# Ports: of transfers, and to listen on.
answers_from() {
	perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1") or die;
		$s->send("\0\1file\0octet\0", 0, pack_sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die;
		my $from = $s->recv(my $data, 1000);
		my ($port) = unpack_sockaddr_in($from);
		$s->send("\0\4\0\1", 0, $from);
		exit($port < $ARGV[1] || $port > $ARGV[2])' "$port" "$1" "$2"
}
for flag in "-R 31000:31999" --port-range=31000:31999 "--ports 31000:31999"; do
	# shellcheck disable=SC2086
	serve "$flag" $flag -s "$tmp/root"
	check "$flag is where answers come from" answers_from 31000 31999
	stop "$pid"
done
for flag in -S --service --port; do
	free_port
	start flags "$tmp/in.tftpd" -L -4 -u "$whoami" $flag "$port" -s "$tmp/root"
	title="$flag is where it listens"
	answer 'R file octet' 'served 7 *'
	stop "$pid"
done
for flag in -4 --ipv4; do
	free_port
	start flags "$tmp/in.tftpd" -L $flag -u "$whoami" -a ":$port" -s "$tmp/root"
	title="$flag is IPv4"
	answer 'R file octet' 'served 7 *'
	check "$flag is nothing else" sh -c "! grep -qF '[::]' '$tmp/flags.log'"
	stop "$pid"
done
if has_v6; then
	for flag in -6 --ipv6; do
		free_port
		start flags "$tmp/in.tftpd" -L $flag -u "$whoami" -a ":$port" -s "$tmp/root"
		check "$flag is IPv6" eventually grep -qF "on [::]:$port" "$tmp/flags.log"
		check "$flag is that alone" sh -c "! grep -qF 0.0.0.0 '$tmp/flags.log'"
		stop "$pid"
	done
else
	skip "-6: no IPv6 here"
fi

# A list of directories, one of which is not there.
mkdir "$tmp/other"
serve "a list with a directory that is missing" -p "$tmp/root" "$tmp/nothing" "$tmp/other"
answer "R $tmp/root/file octet" 'served 7 *'
check "says which" grep -q "cannot serve \"$tmp/nothing\": No such file or directory; going on without it" "$log"
stop "$pid"
check "and --check does" sh -c "'$tmp/in.tftpd' --check -L -u '$whoami' '$tmp/root' '$tmp/nothing' |
    grep -q '^but *cannot serve \"$tmp/nothing\"'"

# How often a block comes to a client that says nothing: the second after the first interval.
heard() {
	perl -MIO::Socket::INET -MIO::Select -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1") or die;
		$s->send("\0\1file\0octet\0", 0, pack_sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die;
		my $n = 0;
		while ($n < 2 && IO::Select->new($s)->can_read($n == 0 ? 30 : $ARGV[1])) { $s->recv(my $data, 1000); $n++; }
		print $n' "$port" "$1"
}
for flag in "-T 20000" --retransmit=20000; do
	# shellcheck disable=SC2086
	serve "$flag" $flag -s "$tmp/root"
	check "$flag is when a block is repeated" test "$(heard 30)" = 2
	stop "$pid"
done
serve "-T 20000000" -T 20000000 -s "$tmp/root"
check "and not before" test "$(heard 1.5)" = 1
stop "$pid"

# -l, but not into the background.
free_port
start flags "$tmp/in.tftpd" -l --systemd --stderr -u "$whoami" -a "127.0.0.1:$port" -s "$tmp/root"
title="--systemd stays in the foreground"
answer 'R file octet' 'served 7 *'
check "it is the process that was started" ours "$pid"
stop "$pid"
for flag in "-a 127.0.0.1:none" "--port 70000"; do
	# shellcheck disable=SC2086
	"$tmp/in.tftpd" -L -u "$whoami" $flag -s "$tmp/root" 2>"$tmp/said"
	check "$flag is told in words: $(cat "$tmp/said")" grep -q 'there is no such port or service' "$tmp/said"
	# shellcheck disable=SC2086
	"$tmp/in.tftpd" --check -L -u "$whoami" $flag -s "$tmp/root" >/dev/null 2>"$tmp/said"
	check "and by --check" grep -q 'there is no such port or service' "$tmp/said"
done
for flag in -V --version --vers; do
	check "$flag is one line" test "$("$tmp/in.tftpd" $flag | wc -l)" = 1
done
printf 'one\n' >"$tmp/names"
check "--map-test shows the way of a name" sh -c "'$tmp/in.tftpd' -L -u '$whoami' -m '$tmp/rules' --map-test '$tmp/names' \
    -s '$tmp/root' | grep -q '^becomes *file$'"
exit $failed
