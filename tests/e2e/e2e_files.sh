#!/bin/sh
# The server's way with files: names that nearly fit, candidates for each client, uploads that are whole or not there,
# files that change while they are read, and what it says before it does anything.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# A zone where it is noon: names with the date are looked for under the same date as they were made.
hour=$(date -u +%H)
TZ=NOON$((${hour#0} - 12))
export TZ
mkdir -p "$tmp/root/Boot" "$tmp/root/sub" "$tmp/here"
chmod 777 "$tmp/root" "$tmp/root/sub"
printf 'boot' >"$tmp/root/Boot/BCD"
printf 'loader' >"$tmp/root/pxelinux.0"
printf 'one' >"$tmp/root/Twice"
printf 'two' >"$tmp/root/tWICE"
bytes 3000000 "$tmp/root/big"
bytes 400000 "$tmp/here/file"

# asked LINE...: what the server answers to these requests (see ask.pl), in $answers.
asked() {
	answers=$(for line; do printf '%s\n' "$line"; done | perl "$(dirname "$0")/ask.pl" "$port")
}
# answer NAME REQUEST ANSWER
answer() {
	asked "$2"
	case "$answers" in
	"$2: "$3) ok "$1" ;;
	*) not_ok "$1: $(printf '%s' "$answers" | tr '\\' '/')" ;;
	esac
}
# says NAME TEXT: the log holds it, soon
says() {
	holds() { grep -qF -- "$1" "$log"; }
	if eventually holds "$2"; then ok "$1"; else not_ok "$1: the log has no \"$2\""; fi
}

# ---- tolerant names -------------------------------------------------------------------------------------------------

start_tftpd tolerant -c "$tmp/root"
answer "the exact name" 'R pxelinux.0 octet' 'served 6 *'
answer "backslashes" 'R \Boot\BCD octet' 'served 4 *'
answer "a drive letter" 'R C:\Boot\BCD octet' 'served 4 *'
answer "junk behind the name" 'R pxelinux.0%ff%ff%01 octet' 'served 6 *'
answer "another case" 'R PXELINUX.0 octet' 'served 6 *'
answer "all of it at once" 'R d:\boot\bcd%ff octet' 'served 4 *'
answer "a case that fits two files" 'R TWICE octet' 'ERROR 1'
answer "a case that fits one of two exactly" 'R Twice octet' 'served 3 *'
answer "a name that is far from all" 'R nothing-like-it octet' 'ERROR 1'
says "what was done to a name is in the log" 'asked="d:\x5cboot\x5cbcd\xff" file=Boot/BCD'
says "and how" 'by="slashes, drive, junk, case"'
check "once" test "$(grep -c 'by="slashes, drive, junk, case"' "$log")" = 1
answer "a name with a typing error is not guessed" 'R pxelinux.1 octet' 'ERROR 1'
says "but suggested" 'did you mean `pxelinux.0` (similar)?'
answer "an upload with backslashes goes into the directory" 'W sub\new octet 10' 'taken'
check "as it should" test -s "$tmp/root/sub/new"
# To guess takes time, while everybody waits: not for names that no boot program has.
deep=d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d
mkdir -p "$tmp/root/$deep/d"
printf 'deep' >"$tmp/root/$deep/file"
printf 'deeper' >"$tmp/root/$deep/d/file"
answer "another case sixteen directories deep" "R $deep/FILE octet" 'served 4 *'
answer "but not seventeen" "R $deep/d/FILE octet" 'ERROR 1'
answer "whose own name is as good as any" "R $deep/d/file octet" 'served 6 *'
answer "four directories too many" 'R 1/2/3/4/pxelinux.0 octet' 'ERROR 1'
says "lead to the file that is meant" 'detail="No such file or directory; did you mean `pxelinux.0` (without its directory)?"'
check "five do not" sh -c "! '$tftpd' --explain 127.0.0.1 read 1/2/3/4/5/pxelinux.0 '$tmp/root' | grep 'did you mean'"
rm -r "$tmp/root/d"
answer "tolerance does not climb" 'R ..\..\etc\passwd octet' 'ERROR 2'
stop "$pid"
start_tftpd strict --names strict "$tmp/root"
answer "strict names are taken as they are" 'R PXELINUX.0 octet' 'ERROR 1'
says "the case is suggested" 'did you mean `pxelinux.0` (case)?'
answer "strict backslashes are no slashes" 'R \Boot\BCD octet' 'ERROR 1'
says "the slash is suggested" 'did you mean `Boot/BCD` (slash)?'
stop "$pid"

# ---- candidates -----------------------------------------------------------------------------------------------------

mkdir -p "$tmp/by/127.0.0.1" "$tmp/by/7F000001" "$tmp/by/10.0.0.1"
printf 'by ip' >"$tmp/by/127.0.0.1/config"
printf 'by hex' >"$tmp/by/7F000001/hexed"
printf 'not yours' >"$tmp/by/10.0.0.1/other"
start_tftpd roots --root "$tmp/by/{ip}:$tmp/by/x-{mac}:$tmp/by/{ip-hex}:$tmp/root"
answer "a directory by address comes first" 'R config octet' 'served 5 *'
answer "then one by the address in hex" 'R hexed octet' 'served 6 *'
answer "then the one for all" 'R pxelinux.0 octet' 'served 6 *'
answer "another client's is out of reach" 'R ../10.0.0.1/other octet' 'ERROR 2'
answer "a file in none of them" 'R other octet' 'ERROR 1'
stop "$pid"
for bad in 'x{ip' 'x}' "$tmp/{name}" ''; do
	timeout 60 "$tftpd" --port 0 --root "$bad" >"$tmp/out" 2>&1
	check "--root $bad is refused as a wrong command line" test $? = 64
done
start_tftpd absent --root "$tmp/nothing/{mac}:$tmp/missing:$tmp/by/{ip}:$tmp/root"
answer "the others of --root are served where some are not there" 'R pxelinux.0 octet' 'served 6 *'
for absent in nothing missing; do
	check "$absent is named" grep -q "cannot serve \"$tmp/$absent\": No such file or directory.*going on without" "$log"
done
stop "$pid"
timeout 60 "$tftpd" --port 0 --root "$tmp/nothing/{mac}:$tmp/missing" >"$tmp/out" 2>&1
check "where none is there the server does not start" test $? = 66
check "and names them all" grep -q 'nothing.*missing' "$tmp/out"
timeout 60 "$tftpd" --check --root "$tmp/nothing/{mac}:$tmp/root" >"$tmp/out" 2>&1
check "--check finds the one that is missing" test $? = 78
"$tftpd" --explain 127.0.0.1 read pxelinux.0 --root "$tmp/nothing/{mac}:$tmp/root" >"$tmp/out" 2>&1
check "--explain says that it is passed over, and what is served" \
	test "$(grep -c '^passed over .*nothing": No such\|^verdict .*served' "$tmp/out")" = 2

# The MAC comes from the kernel's neighbours, so it takes two machines. This one's network is the system's, where the same
# script may run for somebody else: four addresses of 198.18.0.0/15 (RFC 2544), by our number.
net=198.$((18 + $$ / 16384 % 2)).$(($$ / 64 % 256)) us=$(($$ % 64 * 4 + 1)) them=$(($$ % 64 * 4 + 2))
if ip netns add "files$$" 2>/dev/null; then
	ip link add "fa$$" type veth peer name "fb$$" netns "files$$" &&
		ip addr add "$net.$us/30" dev "fa$$" && ip link set "fa$$" up &&
		ip -n "files$$" link set "fb$$" address 52:54:00:aa:bb:cc && ip -n "files$$" addr add "$net.$them/30" dev "fb$$" &&
		ip -n "files$$" link set "fb$$" up
	mkdir -p "$tmp/mac/52-54-00-aa-bb-cc" "$tmp/mac/52:54:00:aa:bb:cc"
	printf 'dashed' >"$tmp/mac/52-54-00-aa-bb-cc/config"
	printf 'colons!' >"$tmp/mac/52:54:00:aa:bb:cc/other"
	free_port
	printf 'r ^rule$ 52-\\m\nr ^52-(52-54-00-aa-bb-cc)$ pxelinux.0\n' >"$tmp/macrules"
	if start mac "$tftpd" -a "$net.$us:$port" -m "$tmp/macrules" --root "$tmp/mac/{mac-dash}:$tmp/mac/{mac}:$tmp/root"; then
		fetch() { ip netns exec "files$$" "$tftp" get "tftp://$net.$us:$port/$1" "$tmp/here/got" && cat "$tmp/here/got"; }
		check "a directory by MAC" test "$(fetch config)" = dashed
		check "a directory by MAC with colons" test "$(fetch other)" = 'colons!'
		check "the MAC in a rule" test "$(fetch rule)" = loader
		stop "$pid"
	else
		not_ok "a server for two machines starts: $(cat "$tmp/mac.log")"
	fi
	ip netns del "files$$"
	ip link del "fa$$" 2>/dev/null
else
	skip "directories by MAC: no network namespaces here"
fi

# ---- rules, read again ----------------------------------------------------------------------------------------------

printf 'r ^old$ pxelinux.0\n' >"$tmp/rules"
start_tftpd rules -v -v -v -m "$tmp/rules" "$tmp/root"
answer "a rule" 'R old octet' 'served 6 *'
says "its step is in the log" 'step="rule in line 1: replaced" name=pxelinux.0'
printf 'r ^new$ pxelinux.0\n' >"$tmp/rules"
kill -HUP "$pid"
says "SIGHUP reads the rules again" "read 1 rules"
answer "the new rule" 'R new octet' 'served 6 *'
answer "and not the old one" 'R old octet' 'ERROR 1'
printf 'r ^broken(\n' >"$tmp/rules"
kill -HUP "$pid"
says "a bad file is named with its line" "rules: line 1: bad regular expression"
answer "and keeps the old rules" 'R new octet' 'served 6 *'
mkdir -p "$tmp/root/first" "$tmp/root/second"
bytes 10 "$tmp/root/first/both"
bytes 20 "$tmp/root/second/both"
bytes 30 "$tmp/root/second/one"
printf 'rE ^any/ first/\nr ^any/ second/\nr ^new$ pxelinux.0\n' >"$tmp/rules"
kill -HUP "$pid"
says "three rules" "read 3 rules"
answer "E ends the rules where its name is a file" 'R any/both octet' 'served 10 *'
answer "and is undone where it is none" 'R any/one octet' 'served 30 *'
answer "nor anywhere" 'R any/none octet' 'ERROR 1'
rm "$tmp/rules"
kill -HUP "$pid"
says "so does one that is gone" "No such file or directory; the old rules stay in force"
answer "still" 'R new octet' 'served 6 *'
stop "$pid"
printf 'rg a a\n' >"$tmp/rules"
start_tftpd circle -m "$tmp/rules" "$tmp/root"
answer "rules that run in a circle end" 'R aaa octet' 'ERROR 2'
says "and say so" "too many steps"
stop "$pid"

# ---- words without deeds --------------------------------------------------------------------------------------------

# told NAME STATUS TEXT ARGUMENTS...: the output holds the text
told() {
	title=$1 wanted=$2 text=$3
	shift 3
	timeout 60 "$tftpd" "$@" >"$tmp/out" 2>&1 </dev/null
	status=$?
	if [ $status = "$wanted" ] && grep -qE -- "$text" "$tmp/out"; then
		ok "$title"
	else
		not_ok "$title: status $status, $(tr '\n\\' '|/' <"$tmp/out")"
	fi
}
printf 'rg \\\\ /\na \\.pvt$ private\n' >"$tmp/rules"
told "--help is on standard output, and no error" 0 '^  -c, --create ' --help
told "--explain says that a file is served" 0 '^verdict +served$' --explain 192.0.2.7 read pxelinux.0 "$tmp/root"
told "--explain shows the guesses" 0 '^found +Boot/BCD$' --explain 192.0.2.7 read '\boot\bcd' "$tmp/root"
told "--explain shows the rules" 0 'rule in line 1: replaced +/Boot/BCD' --explain 192.0.2.7 read '\Boot\BCD' -m "$tmp/rules" "$tmp/root"
told "--explain shows a refusal" 1 '^verdict +refused with ERROR 2: private' --explain 192.0.2.7 read x.pvt -m "$tmp/rules" "$tmp/root"
told "--explain shows a miss and what is near" 1 'did you mean `pxelinux.0`' --explain 192.0.2.7 read pxelinux.00 "$tmp/root"
told "--explain shows that uploads are off" 1 'started without --create' --explain 192.0.2.7 write x "$tmp/root"
told "--explain shows an upload" 0 '^verdict +accepted$' --explain 2001:db8::1 write x -c "$tmp/root"
told "--explain shows the options" 0 '^options +blksize up to 1024' --explain 192.0.2.7 read pxelinux.0 -B 1024 "$tmp/root"
told "--explain makes no directory" 0 'would be made, with its directory' --explain 192.0.2.7 write made/x -c --mkdir "$tmp/root"
check "really not" test ! -e "$tmp/root/made"
mkdir -m 555 "$tmp/root/fixed"
told "--explain knows where none can be made" 1 '^verdict +refused with ERROR 2: permission' --explain 192.0.2.7 \
    write fixed/made/too/x -c --mkdir "$tmp/root"
rmdir "$tmp/root/fixed"
told "--explain wants an address" 64 'nowhere/x' --explain nowhere/x read x "$tmp/root"
told "--explain wants read or write" 64 'read or write' --explain 192.0.2.7 fetch x "$tmp/root"
told "--check says what would be served" 0 "^serves +$tmp/root" --check -m "$tmp/rules" "$tmp/root"
printf 'r (\n' >"$tmp/badrules"
told "--check finds a bad rule" 78 'badrules: line 1: ' --check -m "$tmp/badrules" "$tmp/root"
told "--check finds a missing directory" 78 'nothing' --check "$tmp/nothing"
told "--check finds a missing user" 78 'no-such-user' --check -u no-such-user "$tmp/root"
told "--check finds a port without a meaning" 78 'port "no-such-service"' --check --port no-such-service "$tmp/root"
told "--check finds a log that cannot be" 78 'log "/nowhere/log": No such file' --check --log /nowhere/log "$tmp/root"
told "--check finds a log that is a directory" 78 'Is a directory' --check --log "$tmp" "$tmp/root"
told "--check finds a pid file that cannot be" 78 'pidfile "/nowhere/pid"' --check --pidfile /nowhere/pid "$tmp/root"
ln -s there "$tmp/here/pidlink"
told "--check knows that a pid file is no link" 78 'pidlink": Too many levels' --check --pidfile "$tmp/here/pidlink" "$tmp/root"
rm "$tmp/here/pidlink"
told "--check makes neither" 0 'all is well' --check --pidfile "$tmp/here/pid" --log "$tmp/here/log" "$tmp/root"
check "really not" test ! -e "$tmp/here/pid" -a ! -e "$tmp/here/log"
told "--check finds a bad address" 64 '::1:69' --check -a '[::1:69' "$tmp/root"
printf '\\Boot\\BCD\nPUT x.pvt\n' >"$tmp/list"
told "--map-test shows what becomes of names" 0 '^becomes +/Boot/BCD$' --map-test "$tmp/list" -m "$tmp/rules" "$tmp/root"
told "--map-test shows refusals" 0 '^refused +by the rule in line 2: private$' --map-test "$tmp/list" -m "$tmp/rules" "$tmp/root"

mkdir "$tmp/root/public"
printf 'public' >"$tmp/root/public/in"
printf 'not' >"$tmp/root/out"
chmod 644 "$tmp/root/public/in" "$tmp/root/out"
start_tftpd prefix --path-prefix /public/ "$tmp/root"
answer "--path-prefix goes before names" 'R in octet' 'served 6 *'
answer "and no name leaves it" 'R ../out octet' 'ERROR 2'
answer "with backslashes neither" 'R ..%5cout octet' 'ERROR 2'
answer "nor by a way that is there" 'R in/../../out octet' 'ERROR 2'
stop "$pid"
rm -r "$tmp/root/public" "$tmp/root/out"

# ---- uploads --------------------------------------------------------------------------------------------------------

left() { (cd "$tmp/root" && find . -newer "$tmp/mark" -type f | sort | tr '\n' ' '); }
touch "$tmp/mark"
put() { "$tftp" put "$1" "tftp://127.0.0.1:$port/$2" 2>"$tmp/here/err"; }

start_tftpd options -c --on-exists version --keep 2 --mkdir --max-upload 500K "$tmp/root"
for n in 1 2 3 4; do
	printf 'version %s' $n >"$tmp/here/v"
	put "$tmp/here/v" cfg/switch/running
done
check "the newest has the name" grep -q 'version 4' "$tmp/root/cfg/switch/running"
check "the one before is kept" grep -q 'version 3' "$tmp/root/cfg/switch/running.~3~"
check "and the one before that" grep -q 'version 2' "$tmp/root/cfg/switch/running.~2~"
check "but no more" test "$(find "$tmp/root/cfg/switch" -type f | wc -l)" = 3
put "$tmp/root/big" toolarge
check "what is too large is refused as disk full ($?)" test $? = 70
says "before any data" 'refused write file=toolarge'
"$tftp" put - "tftp://127.0.0.1:$port/toolarge" <"$tmp/root/big" 2>/dev/null
check "and where its size is not told, when it grows too large" test $? = 70
none_left() { [ -z "$(find "$tmp/root" -name '*toolarge*' -o -name '.tftp-part-*')" ]; }
check "nothing of it is left" eventually none_left
answer "--mkdir does not climb" 'W ../made/x octet 1' 'ERROR 2'
stop "$pid"
rm -rf "$tmp/root/cfg"

start_tftpd exists -c --on-exists refuse --upload-name 'in/{ip}-{date}-{name}' --mkdir "$tmp/root"
answer "an upload gets its name from a template" 'W conf octet 100' 'taken'
check "with address and date" test -s "$tmp/root/in/127.0.0.1-$(date +%Y-%m-%d)-conf"
answer "what is there already is ERROR 6" 'W conf octet 100' 'ERROR 6'
stop "$pid"
start_tftpd apart -c --upload-name 'in/{ip}/{name}' --mkdir "$tmp/root"
answer "a template may give each client a directory" 'W sub/a..b octet 10' 'taken'
for name in ../192.0.2.1/conf sub/../../192.0.2.1/conf '..\192.0.2.1\conf' sub/..; do
	answer "which a name does not leave" "W $name octet 10" 'ERROR 2'
done
check "nor makes another" test "$(ls "$tmp/root/in")" = "$(printf '127.0.0.1\n127.0.0.1-%s-conf' "$(date +%Y-%m-%d)")"
stop "$pid"
start_tftpd same -c --on-exists same "$tmp/root"
put "$tmp/here/file" same
check "--on-exists same takes a new file" test $? = 0
put "$tmp/here/file" same
check "and the same again" test $? = 0
put "$tmp/here/v" same
check "and nothing else (73)" test $? = 73
check "which stays" cmp -s "$tmp/here/file" "$tmp/root/same"
stop "$pid"
start_tftpd free -c --min-free 1000000T "$tmp/root"
put "$tmp/here/v" nofree
check "--min-free refuses what would fill the disk" test $? = 70
stop "$pid"
start_tftpd readonly -c --read-only "$tmp/root"
answer "--read-only refuses uploads" 'W x octet 10' 'ERROR 2'
stop "$pid"
start_tftpd rejecting --reject-all "$tmp/root"
answer "--reject-all refuses all" 'R pxelinux.0 octet' 'ERROR 2'
stop "$pid"
start_tftpd links --symlinks any -c "$tmp/root"
ln -s "$tmp/here/v" "$tmp/root/outward"
answer "--symlinks any follows them out" 'R outward octet' 'served 9 *'
answer "but never for an upload" 'W outward octet 10' 'ERROR 2'
stop "$pid"
# Links and names that begin with the directory itself, which servers elsewhere take.
ln -s "$tmp/root" "$tmp/here/alias"
ln -s "/$tmp/root/sub" "$tmp/root/absolute"
ln -s "$tmp/here/alias/pxelinux.0" "$tmp/root/aliased"
ln -s nowhere "$tmp/root/dangling"
ln -s "$tmp/roots/x" "$tmp/root/almost"
printf 'deep' >"$tmp/root/sub/deep"
for without in gso openat2; do
	start_tftpd whole --without $without -c "$tmp/here/alias/"
	answer "a link with a slash in front may lead inside, without $without" 'R absolute/deep octet' 'served 4 *'
	answer "by either name of the directory" 'R aliased octet' 'served 6 *'
	answer "but not beside it" 'R almost octet' 'ERROR 2'
	answer "nor up again" "R absolute/../../root/pxelinux.0 octet" 'ERROR 2'
	answer "a link out is not followed" 'R outward octet' 'ERROR 2'
	says "and named, with where it leads" "\\x22outward\\x22 is a symbolic link to \\x22$tmp/here/v\\x22"
	answer "a link to nothing is no file" 'R dangling octet' 'ERROR 1'
	says "and named, too" 'x22dangling\x22 is a symbolic link to \x22nowhere\x22, which is not there'
	answer "a whole path is taken" "R $tmp/root/pxelinux.0 octet" 'served 6 *'
	answer "in any case" "R /$tmp/here/alias/boot/bcd octet" 'served 4 *'
	answer "for uploads too" "W $tmp/root/sub/whole octet 10" 'taken'
	check "which go where it says" test -s "$tmp/root/sub/whole"
	answer "but not one that only begins so" "R $tmp/rootless octet" 'ERROR 1'
	answer "another server's path is not" 'R /tftpboot/Boot/BCD octet' 'ERROR 1'
	says "but what is meant is named" 'did you mean `Boot/BCD` (without its directory)?'
	rm -f "$tmp/root/sub/whole"
	stop "$pid"
done
rm -f "$tmp/root/absolute" "$tmp/root/aliased" "$tmp/root/dangling" "$tmp/root/almost" "$tmp/root/sub/deep"
start_tftpd nolinks --symlinks none "$tmp/root"
ln -s pxelinux.0 "$tmp/root/inward"
answer "--symlinks none follows none" 'R inward octet' 'ERROR 2'
stop "$pid"
start_tftpd byhand --without openat2 "$tmp/root"
answer "without openat2 links inside are followed" 'R inward octet' 'served 6 *'
answer "and those that lead out are not" 'R outward octet' 'ERROR 2'
answer "nor names" 'R ../here/v octet' 'ERROR 2'
stop "$pid"
rm -f "$tmp/root/inward" "$tmp/root/outward"

# A client that goes away, with --keep-partial.
start_tftpd partial -c --keep-partial "$tmp/root"
printf 'old' >"$tmp/root/kept"
mkfifo "$tmp/here/pipe"
"$tftp" put - "tftp://127.0.0.1:$port/kept" <"$tmp/here/pipe" 2>/dev/null &
client=$!
exec 9>"$tmp/here/pipe"
head -c 100000 "$tmp/here/file" >&9
unfinished() { [ -n "$(find "$tmp/root" -name '.tftp-part-*' -size +100)" ]; }
eventually unfinished
kill $client
wait $client 2>/dev/null
exec 9>&-
kept() { [ -s "$tmp/root/kept.partial" ]; }
check "what arrived is kept as .partial" eventually kept
check "the file itself is the old one" grep -qx old "$tmp/root/kept"
stop "$pid"

# kill -9 at random moments: the name is the old file or the new one, and nothing of the rest survives the next start.
printf 'old content' >"$tmp/root/victim"
cp "$tmp/root/victim" "$tmp/here/old"
bad=0 new=0
for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
	cp "$tmp/here/old" "$tmp/root/victim"
	start_tftpd "kill" -c "$tmp/root"
	"$tftp" put "$tmp/root/big" "tftp://127.0.0.1:$port/victim" --blksize 512 --windowsize 4 >/dev/null 2>&1 &
	client=$!
	perl -e 'select(undef, undef, undef, rand(0.12))'
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	kill $client 2>/dev/null
	wait $client 2>/dev/null
	if cmp -s "$tmp/root/big" "$tmp/root/victim"; then
		new=$((new + 1))
	elif ! cmp -s "$tmp/here/old" "$tmp/root/victim"; then
		bad=$((bad + 1))
	fi
done
check "kill -9 in $round uploads: old or new, never half ($new new)" test $bad = 0
printf 'half' >"$tmp/root/sub/.tftp-part-0000000000000000"
start_tftpd swept -c "$tmp/root"
clean() { [ -z "$(find "$tmp/root" -name '.tftp-part-*')" ]; }
check "what was left unfinished is removed at the next start" eventually clean
says "and said" "left unfinished"

# Two uploads to one name, and a reader of the old file.
bytes 2000000 "$tmp/here/a"
bytes 2000000 "$tmp/here/b"
cp "$tmp/root/big" "$tmp/root/shared"
perl "$(dirname "$0")/reader.pl" "$port" shared "$tmp/here/reader" "$tmp/here/go" 2>"$tmp/err" &
reader=$!
pids="$pids $reader"
under_way() {
	kill -USR1 "$pid"
	grep -q 'running read file=shared .*bytes=[1-9]' "$log"
}
check "a reader is under way" eventually under_way
put "$tmp/here/a" shared &
first=$!
"$tftp" put "$tmp/here/b" "tftp://127.0.0.1:$port/shared" 2>/dev/null
second=$?
wait $first
check "two uploads to one name both succeed" test "$? $second" = "0 0"
check "and one of them has it, whole" eval 'cmp -s "$tmp/here/a" "$tmp/root/shared" || cmp -s "$tmp/here/b" "$tmp/root/shared"'
: >"$tmp/here/go"
wait $reader
check "a reader that began before has the old file" cmp -s "$tmp/here/reader" "$tmp/root/big"
stop "$pid"

# ---- files that change while they are read --------------------------------------------------------------------------

# slowly: a client that asks for a block at a time, and changes the file in between (a shell command as argument).
cat >"$tmp/slowly.pl" <<'END'
use strict; use IO::Select; use Socket;
my ($port, $name, $command) = @ARGV;
socket(my $s, PF_INET, SOCK_DGRAM, 0); my $to = sockaddr_in($port, inet_aton("127.0.0.1"));
send($s, pack("n", 1) . "$name\0octet\0", 0, $to);
my $data = "";
for (my $n = 1; ; $n++) {
	IO::Select->new($s)->can_read(30) or die "silence\n";
	my $from = recv($s, my $p, 65536, 0);
	my ($op, $block, $text) = unpack("nna*", $p);
	if ($op == 5) { $text =~ s/\0//; print "ERROR $block $text\n"; exit; }
	send($s, pack("nn", 4, $block), 0, $from);
	if ($block != $n % 65536) { $n--; next; } # sent twice
	$data .= $text;
	system($command) if $n == 100;
	if (length($text) < 512) { open(my $f, ">", $ARGV[3]); print $f $data; print "done\n"; exit; }
}
END
start_tftpd changing "$tmp/root"
slowly() { cp "$tmp/root/big" "$tmp/root/changing"; perl "$tmp/slowly.pl" "$port" changing "$1" "$tmp/here/slow"; }
said=$(slowly "truncate -s 100000 $tmp/root/changing")
check "a file that shrinks ends in an ERROR ($said)" test "${said#ERROR 0 }" != "$said"
said=$(slowly "cp $tmp/here/a $tmp/root/changing.new; mv $tmp/root/changing.new $tmp/root/changing")
check "a file that is replaced goes on ($said)" cmp -s "$tmp/here/slow" "$tmp/root/big"
said=$(slowly "rm $tmp/root/changing")
check "a file that is removed goes on ($said)" cmp -s "$tmp/here/slow" "$tmp/root/big"
said=$(slowly "echo more >>$tmp/root/changing")
check "a file that grows ends where it ended ($said)" cmp -s "$tmp/here/slow" "$tmp/root/big"
answer "and the server is well" 'R pxelinux.0 octet' 'served 6 *'
says "the log has the reason" 'became shorter'
stop "$pid"

# ---- a slow disk ----------------------------------------------------------------------------------------------------

# One that is not done before somebody says so, 25 seconds later at the most: a library in front of the C library's.
cat >"$tmp/slow.c" <<'END'
#include <fcntl.h>
#include <unistd.h>
int fsync(int fd)
{
	(void)fd;
	close(open(ROOT "/fsync-began", O_CREAT | O_WRONLY, 0644));
	for (int i = 0; i < 25000 && access(ROOT "/fsync-ends", F_OK) != 0; i++)
		usleep(1000);
	return 0;
}
END
if ! under_memcheck && ! grep -qaE '__(asan|tsan)_init' "$tftpd" &&
    ${CC:-cc} -DROOT="\"$tmp/root\"" -shared -fPIC -o "$tmp/slow.so" "$tmp/slow.c" 2>/dev/null; then
	free_port
	log=$tmp/slow.log
	start slow env LD_PRELOAD="$tmp/slow.so" "$tftpd" -c -a "127.0.0.1:$port" "$tmp/root"
	put "$tmp/here/a" slow-upload &
	upload=$!
	eventually test -e "$tmp/root/fsync-began"
	# An fsync in the loop would answer nobody before its end.
	check "others are served while an upload waits for the disk" perl -MIO::Select -MSocket -e '
		for (1 .. 20) {
			socket(my $s, PF_INET, SOCK_DGRAM, 0);
			send($s, pack("n", 1) . "pxelinux.0\0octet\0", 0, sockaddr_in($ARGV[0], inet_aton("127.0.0.1")));
			IO::Select->new($s)->can_read(10) or exit 1;
			my $from = recv($s, my $p, 600, 0);
			send($s, pack("nn", 4, 1), 0, $from);
		}
		exit(-e $ARGV[1])' "$port" "$tmp/root/fsync-ends"
	check "which is not acknowledged before it is on disk" test "$(grep -c 'received file=slow-upload' "$log")" = 0
	: >"$tmp/root/fsync-ends"
	wait $upload
	check "but then it is" test $? = 0
	stop "$pid"
	rm "$tmp/root/fsync-began"
	start fast env LD_PRELOAD="$tmp/slow.so" "$tftpd" -c --no-sync -a "127.0.0.1:$port" "$tmp/root"
	log=$tmp/fast.log
	put "$tmp/here/v" fast-upload
	check "--no-sync asks nothing of the disk" test $? = 0 -a ! -e "$tmp/root/fsync-began"
	stop "$pid"
else
	skip "a slow disk: a library in front of the C library is not possible here"
fi

# A directory that is made anew is another one, whatever its name.
mkdir "$tmp/gone"
start_tftpd gone "$tmp/gone"
rmdir "$tmp/gone"
mkdir "$tmp/gone"
printf 'new' >"$tmp/gone/file"
answer "a directory that was removed has no files" 'R file octet' 'ERROR 1'
says "and the log says why" "\\x22$tmp/gone\\x22 was removed and perhaps made anew: start the server again"
stop "$pid"
exit $failed
