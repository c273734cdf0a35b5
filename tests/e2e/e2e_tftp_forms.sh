#!/bin/sh
# The command lines that people know, run with the client they come from and with ours against one server on port 69 of
# a network of its own: the same files must be there afterwards. Theirs that are known to do worse stand at the end.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# in_dir PROGRAM... : run in $here, which is the client's directory, with the commands in $tmp/stdin
in_dir() {
	(cd "$here" && timeout 60 "$@" <"$tmp/stdin" >"$tmp/out" 2>"$tmp/err")
}

# foreign PROGRAM...: this system's curl, or what tests/setup.sh unpacked
foreign() {
	if [ "$1" = curl ]; then timeout 60 "$@"; else peer "$@"; fi
}

# what_is_there: the client's files and those that were uploaded, with their contents
what_is_there() {
	(cd "$here" && find . -type f -exec sha256sum {} + | sort -k 2)
	(cd "$tmp/root" && find . -type f -newer "$tmp/mark" -exec sha256sum {} + | sort -k 2)
}

# fresh: an empty server, a client's directory with files to upload
fresh() {
	rm -rf "$here" "$tmp/root"/up* "$tmp/root"/r* "$tmp/root"/dir/*
	mkdir -p "$here/d"
	cp "$tmp/files"/* "$here"/
	cp "$tmp/files/up1" "$here/d/up4"
	patience=30
	touch "$tmp/mark"
	sleep 0.02
}

# alike NAME THEIRS ARGUMENTS...: the same line with both. $mode goes in front of theirs where a default differs.
alike() {
	name=$1 theirs=$2
	shift 2
	fresh
	in_dir "$tftp" "$@"
	status=$?
	what_is_there >"$tmp/ours"
	# Once more where theirs has met a block that was repeated: tftp-hpa takes it for one of the next file.
	for attempt in 1 2 3 4 5; do
		fresh
		lines=$(wc -l <"$log")
		# shellcheck disable=SC2086 # "busybox tftp" is two words
		(cd "$here" && foreign $theirs $mode "$@" <"$tmp/stdin" >"$tmp/out" 2>&1)
		what_is_there >"$tmp/theirs"
		cmp -s "$tmp/theirs" "$tmp/ours" || { disturbed "$lines" && [ $attempt -lt 5 ] && continue; }
		break
	done
	if [ $status -ne 0 ]; then
		not_ok "$name: ours ends with $status ($(cat "$tmp/err"))"
	elif ! cmp -s "$tmp/theirs" "$tmp/ours"; then
		not_ok "$name: $(diff "$tmp/theirs" "$tmp/ours" | cut -c 1-12,66- | tr '\n' ' ')"
	else
		ok "$name"
	fi
}

hpa_lines() {
	hpa=tftp-hpa/usr/bin/tftp
	# tftp-hpa's default is netascii
	mode="-m binary"
	for line in "h -c get f513" "h 69 -c get f513" "h -c get f513 local" "h -c get f513 d/local" \
	    "h -c get f0 f1 f513" "h -c put up1" "h -c put up1 remote" "h -c put up1 up2 up3 dir" "-v h -c get f513" \
	    "-4 h -c get f513" "-R 30000:30010 h -c get f513" "h -c get h:f513" "h -c get h:f513 local" \
	    "h -c get h:f0 h:f1 h:f513" "h -c put up1 h:remote" "h -c put up1 up2 h:dir" \
	    "-l h -c get with:colon" "h -l -c get with:colon local" \
	    "h -v -c get dir-of/x" "h -c get dir-of/x y"; do
		# shellcheck disable=SC2046 # a list of words
		alike "tftp-hpa: $line" "$hpa" $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
	done
	mode=
	for line in "-m ascii h -c get t-lf" "-m netascii h -c put text r" "-m octet h -c get t-cr" \
	    "-m binary h -c put text r"; do
		# shellcheck disable=SC2046
		alike "tftp-hpa: $line" "$hpa" $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
	done
	# Without a host in its command line it first asks for one, and a pipe cannot know that.
	for lines in "binary/get f513/quit" "binary/get f513 local/put up1 r1/put up2 r2" "mode octet/get f0 f1 f513" \
	    "bin/ge f513/pu up1 r1/q" "binary/get h:f513/put up1 h:r1" "ascii/get t-lf/binary/get t-cr" "binary/get t-cr" \
	    "binary/verbose/status/get f1" "binary/rexmt 2/timeout 10/get f513" "literal/binary/get with:colon" \
	    "mode netascii/put text r1" "?/help/binary/get f1" "binary/connect h 69/get f513"; do
		printf '%s\n' "$lines" | tr / '\n' | sed 's/\<h\>/127.0.0.1/g' >"$tmp/stdin"
		alike "tftp-hpa, session: $lines" "$hpa" 127.0.0.1
	done
	# Without a host in its command line it asks for one first; other commands may connect to another.
	for lines in "h|binary|get f513|quit" "h 69|bin|get f513 local|put up1 r1" "h|binary|get f0 f1 f513|q" \
	    "h|binary|put up1 up2 up3 dir|get dir-of/x" "h|mode octet|connect h 69|get f513 d/local" \
	    "h|binary|get h:f0 h:f1 f513|put up1 up2 h:dir" "h|binary|literal|get with:colon|literal|get h:f1" \
	    "h|ascii|get t-lf|put text r1|binary|put text r2" "h|binary|get f0|get f1|get f513|put up1|put up2 r2" \
	    "h|verbose|trace|binary|get f1|trace|get f0"; do
		printf '%s\n' "$lines" | tr '|' '\n' | sed 's/\<h\>/127.0.0.1/g' >"$tmp/stdin"
		alike "tftp-hpa, no host: $lines" "$hpa"
	done
	: >"$tmp/stdin"
}

# sessions of ours alone: LINES FILE WHAT-IT-IS
ours_lines() {
	while read -r lines file wanted; do
		fresh
		printf '%s\n' "$lines" | tr '/,' '\n ' | sed 's/\<h\>/127.0.0.1/g' >"$tmp/stdin"
		in_dir "$tftp"
		same "session: $(echo "$lines" | tr ',' ' ')" "$tmp/$wanted" "$here/$file"
	done <<-'END'
		connect,h/get,f513 f513 root/f513
		conn,h,69/ge,f513,local/q local root/f513
		get,h:f513/get,f1 f1 root/f1
		connect/h/get/f513 f513 root/f513
		connect,h/put/up1,r1/get,r1 r1 files/up1
		get,h:f513,h:f1 f1 root/f1
		connect,h/literal/get,with:colon with:colon root/with:colon
		connect,h/trace/get,f1 f1 root/f1
	END
	: >"$tmp/stdin"
	for line in "-c get h:f513" "-c get h:f513 f513" "-c get h:f1 h:f513" "-c get h:f1 h:f0 h:f513"; do
		fresh
		# shellcheck disable=SC2046 # a list of words
		in_dir "$tftp" $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
		same "without a host: $line" "$tmp/root/f513" "$here/f513"
	done
}

# Where tftp-hpa is the one that errs: what ours does instead.
hpa_faults() {
	fresh
	echo precious >"$here/f-missing"
	in_dir "$tftp" 127.0.0.1 -c get f-missing
	check "a failed get has a status, where tftp-hpa's is 0" test $? = 68
	check "a failed get keeps the file, where tftp-hpa's empties it" test "$(cat "$here/f-missing")" = precious
	in_dir "$tftp" 127.0.0.1 -c get t-cr
	same "the default is octet, where tftp-hpa's is netascii" "$tmp/root/t-cr" "$here/t-cr"
	in_dir "$tftp" 127.0.0.1 -c put d/up4 r-up4
	same "a file of another directory is found under its name" "$here/d/up4" "$tmp/root/r-up4"
	in_dir "$tftp" 127.0.0.1 -c nonsense
	check "an unknown command has a status" test $? = 64
	in_dir "$tftp" 127.0.0.1 -c t
	check "an ambiguous command has a status" test $? = 64
	in_dir "$tftp" 127.0.0.1 -c
	check "no command has a status" test $? = 64
	in_dir "$tftp" 127.0.0.1 -c get
	check "a command without its words says how it is used" grep -q "usage: get" "$tmp/err"
	printf 'connect 127.0.0.1\nget nothing\nget f513\n' >"$tmp/stdin"
	in_dir "$tftp"
	check "a session on a pipe ends with the first failure" test $? = 68
	same "and goes on after it" "$tmp/root/f513" "$here/f513"
	printf 'connect 127.0.0.1\nput up1 "r with blanks"\nget "r with blanks" got\\ it\n' >"$tmp/stdin"
	in_dir "$tftp"
	same "names with blanks can be quoted" "$tmp/files/up1" "$here/got it"
	printf 'get f513\nget "f513\nput a:b x\nmode mail\nrexmt x\nblocksize 3\nconnect a b c\n' >"$tmp/stdin"
	in_dir "$tftp"
	check "a session that makes no sense has a status" test $? = 64
	check "each of its lines is answered by one" test "$(wc -l <"$tmp/err")" -eq 7
	check "a prompt is for a terminal" test -z "$(cat "$tmp/out")"
	fresh
	perl -e 'print "connect 127.0.0.1\n?", "x" x 4095, "get f513\n", "get f1\nget ", "x" x 9000' >"$tmp/stdin"
	in_dir "$tftp"
	check "a line that is too long has a status" test $? = 64
	check "and is one error, however long it is" test "$(grep -c 'passed over' "$tmp/err")$(wc -l <"$tmp/err")" = 22
	check "the end of it is no command" test ! -e "$here/f513"
	same "the next one is" "$tmp/root/f1" "$here/f1"
	printf 'nobody.invalid\nstatus\n' >"$tmp/stdin"
	in_dir "$tftp"
	check "a first line that is neither a command nor a host is no command" grep -q '^tftp: ?Invalid command' "$tmp/err"
	printf 'status\n127.0.0.1\n' >"$tmp/stdin"
	in_dir "$tftp"
	check "nor is a host in any other line" grep -q '^tftp: ?Invalid command' "$tmp/err"
	printf 'connect 127.0.0.1 69\nverbose\nrexmt 3\nblocksize 1000\nwindowsize 4\nstatus\nget f513\n' >"$tmp/stdin"
	in_dir "$tftp"
	check "status shows the settings" grep -q "Rexmt-interval: 3 seconds" "$tmp/out"
	check "verbose shows what was agreed on" grep -q "blksize 1000, windowsize 4" "$tmp/err"
	: >"$tmp/stdin"
	# As a shell's *.cfg gives them: more than the 128 that a line of a session may have.
	fresh
	mkdir "$here/many" "$tmp/root/dir/many"
	for n in $(seq 200); do
		echo "$n" >"$here/many/r$n"
	done
	(cd "$here/many" && timeout 60 "$tftp" 127.0.0.1 -c put r* dir/many) 2>"$tmp/err"
	check "put takes any number of files (exit status $?)" diff -r "$here/many" "$tmp/root/dir/many"
	mkdir "$here/back"
	(cd "$here/back" && timeout 60 "$tftp" 127.0.0.1 -c get $(cd "$here/many" && echo r* | sed 's,r,dir/many/r,g')) \
	    2>"$tmp/err"
	check "get takes any number of files (exit status $?)" diff -r "$here/many" "$here/back"
}

busybox_lines() {
	box="busybox-static/bin/busybox tftp"
	mode=
	for line in "-g -r f513 h" "-g -r f513 h 69" "-g -r f513 -l x h" "-l x -g -r f513 h" "-g -r dir-of/x h" \
	    "-gr f513 h" "-p -l up1 h" "-p -l up1 -r r1 h" "-pl up1 -r r1 h 69" "-b 1024 -g -r f1048576 h" \
	    "-g -b 65464 -r f1048576 h" \
	    "-p -b 1024 -l up1 -r r1 h"; do
		# shellcheck disable=SC2046
		alike "busybox: $line" "$box" $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
	done
	fresh
	in_dir "$tftp" -g -r f513 -l - 127.0.0.1
	same "busybox: -l - is standard output" "$tmp/root/f513" "$tmp/out"
	cp "$tmp/files/up1" "$tmp/stdin"
	in_dir "$tftp" -p -l - -r r1 127.0.0.1
	same "busybox: -l - is standard input" "$tmp/files/up1" "$tmp/root/r1"
	: >"$tmp/stdin"
}

atftp_lines() {
	mode=
	for line in "-g -r f513 h" "--get --remote-file f513 --local-file x h" "--get -r f513 -l x h 69" \
	    "-p -l up1 h" "--put --local-file up1 --remote-file r1 h" "--tftp-timeout 3 -g -r f513 h"; do
		# shellcheck disable=SC2046
		alike "atftp: $line" atftp/usr/bin/atftp $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
	done
	alike "atftp: --option with a value" atftp/usr/bin/atftp --option "blksize 1024" -g -r f1048576 127.0.0.1
}

curl_lines() {
	curl=curl
	command -v curl >/dev/null || curl=curl/usr/bin/curl
	mode="-s"
	for line in "-O tftp://h/f513" "-o x tftp://h/f513" "-T up1 tftp://h/r1" "-T up1 tftp://h/" \
	    "tftp://h/f513 -o x" "-O tftp://h/dir-of/x" "-O tftp://h//dir-of/x"; do
		# shellcheck disable=SC2046
		alike "curl: $line" "$curl" $(echo "$line" | sed 's/\<h\>/127.0.0.1/g')
	done
	fresh
	in_dir "$tftp" -o - tftp://127.0.0.1/f513
	same "curl: -o - is standard output" "$tmp/root/f513" "$tmp/out"
	in_dir "$tftp" tftp://127.0.0.1/nothing -o x
	check "curl: the same status for a missing file" test $? = 68
}

other_lines() {
	fresh
	in_dir "$tftp" -i 127.0.0.1 GET f513
	same "Windows: get" "$tmp/root/f513" "$here/f513"
	in_dir "$tftp" -i 127.0.0.1 get 'win\x' win
	same "Windows: get with a backslash, to a name" "$tmp/root/win\x" "$here/win"
	in_dir "$tftp" 127.0.0.1 put up1 r1
	same "Windows: put" "$tmp/files/up1" "$tmp/root/r1"
	in_dir "$tftp" 127.0.0.1:f513 got
	same "scp: get" "$tmp/root/f513" "$here/got"
	in_dir "$tftp" 127.0.0.1:f513 127.0.0.1:f1 d
	same "scp: get several into a directory" "$tmp/root/f513" "$here/d/f513"
	same "scp: all of them" "$tmp/root/f1" "$here/d/f1"
	in_dir "$tftp" up1 127.0.0.1:r1
	same "scp: put" "$tmp/files/up1" "$tmp/root/r1"
	in_dir "$tftp" up1 up2 127.0.0.1:dir
	same "scp: put several" "$tmp/files/up2" "$tmp/root/dir/up2"
	in_dir "$tftp" put up1 up2 tftp://127.0.0.1/dir/
	same "URL: put several" "$tmp/files/up1" "$tmp/root/dir/up1"
	in_dir "$tftp" get tftp://127.0.0.1/f513 tftp://127.0.0.1/f1 d
	same "URL: get several" "$tmp/root/f513" "$here/d/f513"
	in_dir "$tftp" 127.0.0.1:f513 127.0.0.1:f1 nowhere
	check "several files need a directory" test $? = 64
	check "--help names every option and command" test "$("$tftp" --help | grep -cE '^ +(-|[a-z?])|^[a-z?]+ ')" -ge 50
	for option in $("$tftp" --help | grep -oE '[-]-[a-z0-9-]+' | sort -u | sed 's/^--//'); do
		grep -qE "Fl Fl $option( |\$)" man/tftp.1 || not_ok "--$option is not in the man page"
	done
	ok "every option of --help is in the man page"
}

# Inside: a network of its own.
in_namespace() {
	tmp=$1
	here=$tmp/here
	ip link set lo up 2>/dev/null || "$peers/busybox-static/bin/busybox" ip link set lo up
	# tftp-hpa does not look at IPv4 before there is an address that is not loopback's.
	ip address add 192.0.2.1/32 dev lo 2>/dev/null
	port=69 log=$tmp/server.log
	start server "$tftpd" --create --address 127.0.0.1:69 "$tmp/root" ||
		not_ok "the server starts: $(cat "$tmp/server.log")"
	: >"$tmp/stdin"
	if has_peer tftp-hpa/usr/bin/tftp; then hpa_lines; else skip "tftp-hpa is not to be had"; fi
	ours_lines
	hpa_faults
	if has_peer busybox-static/bin/busybox; then busybox_lines; else skip "busybox is not to be had"; fi
	if has_peer atftp/usr/bin/atftp; then atftp_lines; else skip "atftp is not to be had"; fi
	if command -v curl >/dev/null || has_peer curl/usr/bin/curl; then curl_lines; else skip "curl is not to be had"; fi
	other_lines
	stop "$pid"
}

if [ "${2:-}" = in-namespace ]; then
	rmdir "$tmp"
	in_namespace "$3"
	trap - EXIT
	exit $failed
fi
apart="unshare -n"
$apart true 2>/dev/null || apart="unshare -rn"
if ! $apart true 2>/dev/null; then
	skip "the call forms need a network namespace for port 69"
	exit 0
fi
mkdir "$tmp/root" "$tmp/root/dir" "$tmp/root/dir-of" "$tmp/files"
for size in 0 1 513 1048576; do
	bytes $size "$tmp/root/f$size"
done
bytes 700 "$tmp/root/dir-of/x"
bytes 100 "$tmp/root/with:colon"
bytes 100 "$tmp/root/win\\x"
for n in 1 2 3; do
	bytes 600$n "$tmp/files/up$n"
done
perl -e 'print map { "line $_\n" } 1 .. 300' >"$tmp/files/text"
cp "$tmp/files/text" "$tmp/root/t-lf"
perl -e 'print map { "a\rb\r\nc\n" } 1 .. 300' >"$tmp/root/t-cr"
chmod -R a+rwX "$tmp/root"
touch -d '1 hour ago' "$tmp/root"/* "$tmp/root"/*/*
$apart "$top/tests/e2e/e2e_tftp_forms.sh" "$build" in-namespace "$tmp"
exit $?
