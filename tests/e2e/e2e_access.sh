#!/bin/sh
# Access lists in files: what they say, what is wrong with them, and SIGHUP, which reads them again while transfers run.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p "$tmp/root" "$tmp/here" "$tmp/lists"
chmod 777 "$tmp/root"
printf 'small' >"$tmp/root/small"
bytes 1000000 "$tmp/root/big"

answer() {
	got=$(printf '%s\n' "$2" | perl "$(dirname "$0")/ask.pl" "$port")
	case $got in
	"$2: "$3) ok "$1" ;;
	*) not_ok "$1: $got" ;;
	esac
}
# says NAME TEXT: the log holds it, soon
says() {
	holds() { grep -qF -- "$1" "$log"; }
	if eventually holds "$2"; then ok "$1"; else not_ok "$1: the log has no \"$2\": $(tail -n 2 "$log")"; fi
}
# again N: the lists have been read again N times
again() {
	reads() { [ "$(log_lines 'read the access lists again')" = "$1" ]; }
	kill -HUP "$pid"
	check "SIGHUP reads the lists again ($1)" eventually reads "$1"
}
# knock NAME: one request for a file of this name, to which no answer comes
knock() {
	perl -MSocket -e 'socket(my $s, PF_INET, SOCK_DGRAM, 0); send($s, "\0\1$ARGV[1]\0octet\0", 0,
	    sockaddr_in($ARGV[0], inet_aton("127.0.0.1")))' "$port" "$1"
}

# ---- read again -----------------------------------------------------------------------------------------------------

printf '# the lab\n127.0.0.0/8   # all of it\n' >"$tmp/lists/allow"
printf '\n192.0.2.0/24, 127.0.0.1\n' >"$tmp/lists/write"
printf '2001:db8::/32\n' >"$tmp/lists/deny"
start_tftpd lists -c --allow "@$tmp/lists/allow" --allow-write "@$tmp/lists/write" \
    --deny "@$tmp/lists/deny" "$tmp/root"
answer "who is in a file is served" 'R small octet' 'served 5 *'
answer "and may write" 'W new octet 10' 'taken'
perl "$(dirname "$0")/reader.pl" "$port" big "$tmp/here/big" "$tmp/here/go" 2>"$tmp/err" &
running=$!
pids="$pids $running"
under_way() {
	kill -USR1 "$pid"
	grep -q 'running read file=big .*bytes=[1-9]' "$log"
}
check "a transfer runs" eventually under_way
printf '192.0.2.0/24\n' >"$tmp/lists/write"
again 1
answer "who has gone from the list may not write any more" 'W new octet 10' 'ERROR 2'
says "the log says what decided" 'detail="not in --allow-write"'
answer "but read" 'R small octet' 'served 5 *'
printf '127.0.0.1' >>"$tmp/lists/deny"
printf '192.0.2.0/24\n127.0.0.1\n' >"$tmp/lists/write"
again 2
knock after-deny
says "who is denied is told nothing" 'denied file=after-deny'
says "the log names the list and its line" "detail=\"--deny 127.0.0.1/32, line 2 of $tmp/lists/deny\""
printf '2001:db8::/32\n127.0.0.1/40\n' >"$tmp/lists/deny"
printf '127.0.0.0/8\n' >"$tmp/lists/write"
kill -HUP "$pid"
says "a mistake is named with file and line" "$tmp/lists/deny: line 2: \"127.0.0.1/40\" is not an address or network"
says "and the old lists stay" 'the old lists stay in force'
knock after-mistake
says "all of them" 'denied file=after-mistake'
rm "$tmp/lists/deny"
kill -HUP "$pid"
says "so they do when a file is gone" "cannot read the list in \"$tmp/lists/deny\": No such file or directory; the old"
mkfifo "$tmp/lists/deny"
kill -HUP "$pid"
says "or no file any more" "cannot read the list in \"$tmp/lists/deny\": Invalid argument; the old"
knock after-pipe
says "still" 'denied file=after-pipe'
rm "$tmp/lists/deny"
: >"$tmp/lists/deny"
again 3
answer "an empty --deny shuts out nobody" 'R small octet' 'served 5 *'
answer "the lists are all the new ones" 'W new octet 10' 'taken'
: >"$tmp/lists/allow"
: >"$tmp/lists/write"
again 4
knock after-empty
says "empty lists of who is welcome let in nobody" 'denied file=after-empty'
perl -e 'print "10.$_.0.0/16\n2001:db8:$_\::/48\n" for 0 .. 255; print "127.0.0.0/8\n"' >"$tmp/lists/allow"
again 5
answer "a long list is sorted in the sandbox too" 'R small octet' 'served 5 *'
check "and the transfer runs on" ours $running
: >"$tmp/here/go"
wait $running
check "what ran through all of this is complete" cmp -s "$tmp/root/big" "$tmp/here/big"
says "to its end" 'sent file=big'
stop "$pid"

# ---- started as root, in a chroot -----------------------------------------------------------------------------------

if [ "$(id -u)" -eq 0 ] && id nobody >/dev/null 2>&1; then
	printf '127.0.0.1\n' >"$tmp/lists/allow"
	chmod 644 "$tmp/lists/allow"
	log=$tmp/jailed.log
	free_port
	start jailed "$tftpd" -L -s -u nobody -a "127.0.0.1:$port" --allow "@$tmp/lists/allow" "$tmp/root"
	answer "a list lies outside of the root directory" 'R small octet' 'served 5 *'
	printf '127.0.0.2\n' >"$tmp/lists/allow"
	again 1
	knock jailed
	says "and is read again from there" 'denied file=jailed'
	stop "$pid"
else
	skip "lists outside of a chroot: this is not root"
fi

# ---- before anything is served --------------------------------------------------------------------------------------

# told NAME STATUS TEXT ARGUMENTS...: the output holds the text
told() {
	title=$1 wanted=$2 text=$3
	shift 3
	timeout 60 "$tftpd" "$@" "$tmp/root" >"$tmp/out" 2>&1 </dev/null
	status=$?
	if [ $status = "$wanted" ] && grep -qF -- "$text" "$tmp/out"; then
		ok "$title"
	else
		not_ok "$title: status $status, $(tr '\n' '|' <"$tmp/out")"
	fi
}
printf '10.0.0.0/8\n192.0.2.7\n' >"$tmp/lists/good"
printf '10.0.0.0/8\n\n10.0.0.1/8\n' >"$tmp/lists/bad"
told "a mistake ends the start" 78 "$tmp/lists/bad: line 3: \"10.0.0.1/8\" has bits set" --port 0 --allow "@$tmp/lists/bad"
told "a file that is not there does" 66 "\"$tmp/lists/nothing\": No such file" --port 0 --deny "@$tmp/lists/nothing"
told "a directory does" 66 "\"$tmp/lists/.\": Is a directory" --port 0 --deny "@$tmp/lists/."
told "no name does" 64 '--deny "@": names no file' --deny @
told "a file among networks does" 64 '"@x": a file is a value of its own' --deny 10.0.0.0/8,@x
told "--check finds a mistake" 78 'line 3: "10.0.0.1/8"' --check --allow-write "@$tmp/lists/bad"
told "--check finds a missing file" 78 'nothing' --check --allow-write "@$tmp/lists/nothing"
told "--check says what is read" 0 "$tmp/lists/good" --check --allow 192.0.2.0/24 --deny "@$tmp/lists/good"
told "and how much" 0 'networks in access lists           3' --check --allow 192.0.2.0/24 --deny "@$tmp/lists/good"
told "--explain shows the line that decided" 1 "--deny 192.0.2.7/32, line 2 of $tmp/lists/good" \
    --explain 192.0.2.7 read small --deny "@$tmp/lists/good" --allow 192.0.2.0/24
told "or the command line" 0 'decided by                         --allow 192.0.2.0/24' \
    --explain 192.0.2.8 read small --deny "@$tmp/lists/good" --allow 192.0.2.0/24
told "or that no list has it" 1 'not in --allow' --explain 198.51.100.1 read small --allow "@$tmp/lists/good"
exit $failed
