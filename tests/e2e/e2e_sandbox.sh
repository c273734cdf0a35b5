#!/bin/sh
# The running server inside its sandbox: the kernel says that it is there, every feature still works, and at the end the
# server is ended by the test and not by the kernel.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/root" "$tmp/here" "$tmp/logs"
chmod 777 "$tmp/root" "$tmp/logs"
make_files "$tmp/root"
bytes 300000 "$tmp/here/file"

field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }

# inside: it has answered, so it has done all that it does before that
inside() {
	check "the file system is served" timeout 60 "$tftp" get "tftp://127.0.0.1:$port/f513" "$tmp/here/back"
}
start_tftpd here "$tmp/root"
inside
if [ "$(field Seccomp)" = 0 ] && nm "$tftpd" 2>/dev/null | grep -q -e __asan_ -e __gcov_; then
	skip "a build with sanitizers or coverage has no sandbox"
	exit 0
fi
check "new privileges cannot be had" test "$(field NoNewPrivs)" = 1
case $(uname -m) in
x86_64 | aarch64 | riscv64) check "a filter for system calls is in force" test "$(field Seccomp)" = 2 ;;
*) skip "there is no filter for this machine" ;;
esac
check "no layer is missing unnoticed" sh -c "! grep -q 'cannot give up' '$log'"
stop "$pid"

# Not root: no capability may be left, whatever it was started with.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	free_port
	start unprivileged setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_bind_service \
	    --ambient-caps +net_bind_service "$tftpd" --address "127.0.0.1:$port" --verbose "$tmp/root"
	inside
	check "no capability is left" test "$(field CapEff)$(field CapPrm)$(field CapAmb)" = \
	    000000000000000000000000000000000000000000000000
	stop "$pid"
else
	skip "no capability is left: not root, or no setpriv"
fi

# Everything at once: uploads, both modes, windows, refusals, each signal.
log=$tmp/logs/log
free_port
start everything "$tftpd" --address "127.0.0.1:$port" --create --verbose --log "$log" --log-format json "$tmp/root"
server=$pid
url=tftp://127.0.0.1:$port
for f in f0 f512 f1048576 t-cr; do
	"$tftp" get "$url/$f" "$tmp/here/back"
	same "$f comes out of the sandbox" "$tmp/root/$f" "$tmp/here/back"
done
check "an upload makes a file" "$tftp" put "$tmp/here/file" "$url/new"
check "the upload is whole" cmp -s "$tmp/here/file" "$tmp/root/new"
check "an upload replaces a file" "$tftp" put "$tmp/here/file" "$url/f512"
check "it is replaced whole" cmp -s "$tmp/here/file" "$tmp/root/f512"
for name in missing ../../../etc/passwd /proc/self/status; do
	"$tftp" get "$url/$name" "$tmp/here/back" 2>/dev/null && not_ok "$name is not served"
done
ln -s /etc/passwd "$tmp/root/link"
"$tftp" get "$url/link" "$tmp/here/back" 2>/dev/null
check "a link out of the directory is refused" test $? != 0
mv "$log" "$log.1"
kill -HUP $server
reopened() { grep -q reloaded "$log" 2>/dev/null; }
check "the log is opened again inside the sandbox" eventually reopened
kill -USR1 $server
reported() { grep -q '"event":"status"' "$log"; }
check "a status is reported inside the sandbox" eventually reported
check "each line of the log is JSON" perl -MJSON::PP -ne 'JSON::PP->new->decode($_); END { exit($. < 1) }' "$log" "$log.1"
kill -TERM $server
wait $server
status=$?
check "the server ends when it is told to (it was $status)" test $status = 0

# What the rest of the command line needs: rules, links that lead anywhere, a log and a pid file, from the background.
log=$tmp/logs/background
printf 'r ^renamed$ %s/root/f513\n' "$tmp" >"$tmp/here/rules"
ln -s "$tmp/here/file" "$tmp/root/away"
free_port
url=tftp://127.0.0.1:$port
(cd "$tmp/here" && timeout 60 "$tftpd" --listen --user "$(id -un)" --address "127.0.0.1:$port" --create --permissive \
    --map-file rules --log "$log" --log-format kv --pidfile pid "$tmp/root") >"$tmp/background.log" 2>&1
check "it goes into the background ($(cat "$tmp/background.log"))" test $? = 0
pid=$(cat "$tmp/here/pid")
check "in the sandbox" test "$(field NoNewPrivs)" = 1
check "all its threads are" sh -c "! grep -h '^NoNewPrivs:' /proc/$pid/task/*/status | grep -v 1"
"$tftp" get "$url/$tmp/root/away" "$tmp/here/back"
same "a link that leads elsewhere is followed" "$tmp/here/file" "$tmp/here/back"
check "an upload is taken" "$tftp" put "$tmp/here/file" "$url/$tmp/root/again"
check "beneath another directory it is not" sh -c "! '$tftp' put '$tmp/here/file' '$url/$tmp/here/new' 2>/dev/null"
"$tftp" get "$url/renamed" "$tmp/here/back"
same "rules rename" "$tmp/root/f513" "$tmp/here/back"
printf 'r ^newer$ %s/root/f513\n' "$tmp" >"$tmp/here/rules"
mv "$log" "$log.1"
kill -HUP "$pid"
check "the log that --log names is opened again" eventually reopened
check "and the rules are read again" grep -q 'read 1 rules' "$log"
"$tftp" get "$url/newer" "$tmp/here/back"
same "which are in force" "$tmp/root/f513" "$tmp/here/back"
printf 'nonsense\n' >"$tmp/here/rules"
kill -HUP "$pid"
kept() { grep -q 'old rules stay' "$log"; }
check "wrong ones are not" eventually kept
"$tftp" get "$url/newer" "$tmp/here/back"
same "and it goes on" "$tmp/root/f513" "$tmp/here/back"
kill -TERM "$pid"
unwritten() { ! [ -e "$tmp/here/pid" ]; }
check "the pid file is removed, from where it was written" eventually unwritten
exit $failed
