# shellcheck shell=sh disable=SC2034
# Shared by the e2e_*.sh scripts, which source it: where the programs are, servers on free ports, verdicts, and the
# cleaning up. Each script gets BUILD as its first argument.
set -u
export LC_ALL=C
# A script that lies elsewhere says in TOP where the tree is.
top=${TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top" || exit 1
case ${1:-build} in
/*) build=$1 ;;
*) build=$top/${1:-build} ;;
esac
peers=$top/build/peers
tftpd=$build/tftpd
tftp=$build/tftp
whoami=$(id -un)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tftp-e2e.XXXXXX") || exit 1
chmod 755 "$tmp"
pids=
bound=
failed=0
# What ends a hang waits so many times as long where programs are slow, as under valgrind; Check knows the same variable.
slow=${CK_TIMEOUT_MULTIPLIER:-1}
slow=${slow%%.*}

# under_memcheck: the programs are scripts that run them there, see long.sh
under_memcheck() {
	[ "${build##*/}" = memcheck ]
}

# timeout SECONDS COMMAND...
timeout() {
	most=$(($1 * slow))
	shift
	command timeout $most "$@"
}

# ours PID: it is a child of this shell, and runs. A number alone is not enough: once a child is gone, another process, of anybody
# on this machine, may have it.
ours() {
	read -r self _ </proc/self/stat
	awk -v self="$self" '$1 == "State:" { dead = $2 == "Z" } $1 == "PPid:" { child = $2 == self }
		END { exit !child || dead }' "/proc/$1/status" 2>/dev/null
}

# end_children: all that this shell has started and that still runs
end_children() {
	for child in $pids; do
		ours "$child" && kill "$child" 2>/dev/null
	done
	pids=
}

# stop PID
stop() {
	ours "$1" && kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# Background processes and files go however the script ends.
clean_up() {
	trap - EXIT INT TERM
	end_children
	for mount in $(awk -v d="$tmp/" 'index($2, d) == 1 { print $2 }' /proc/mounts); do
		umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

ok() { echo "ok $*"; }
skip() { echo "skip $*"; }
not_ok() {
	printf 'not ok %s\n' "$(printf '%s\n' "$*" | paste -s -d '|')"
	failed=1
	saw "${log:-}"
	[ "${started:-}" = "${log:-}" ] || saw "${started:-}"
	for seen in "$tmp/err" "$tmp/said"; do
		[ -e "$seen" ] && saw "$seen"
	done
}

# saw FILE: its end, as lines that tests/run.sh shows: all that is left of a failure that does not come again.
saw() {
	case $1 in "$tmp"/*) ;; *) return ;; esac
	if [ ! -e "$1" ]; then
		echo "# ${1#"$tmp"/}: is not there"
	elif [ -d "$1" ]; then
		echo "# ${1#"$tmp"/}: $(ls -A "$1" | paste -s -d ' ' | cut -c 1-300)"
	elif [ -f "$1" ] && grep -qI . "$1"; then
		tail -n 5 "$1" | cut -c 1-300 | sed "s|^|# ${1#"$tmp"/}: |"
	else
		echo "# ${1#"$tmp"/}: $(stat -c '%F, %s bytes' "$1")"
	fi
}

# check NAME COMMAND...: ok if the command succeeds. What it looked at is shown where it does not.
check() {
	name=$1
	shift
	if "$@"; then
		ok "$name"
		return
	fi
	not_ok "$name ($*)"
	for seen; do
		[ "$seen" = "${log:-}" ] || [ "$seen" = "${started:-}" ] || saw "$seen"
	done
}

# same NAME WANTED GOT: both files hold the same bytes.
same() {
	if [ ! -e "$3" ]; then
		not_ok "$1: there is no file"
	elif cmp -s "$2" "$3"; then
		ok "$1"
	else
		not_ok "$1: $(cmp "$2" "$3" 2>&1 | sed "s|$tmp/||g"), $(stat -c %s "$2") bytes and $(stat -c %s "$3")"
	fi
	rm -f "$3"
}

# eventually COMMAND...: true as soon as the command is, false after 15 s (or as often as the machine is slow).
eventually() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -ge $((300 * slow)) ] && return 1
		sleep 0.05
	done
}

# taken PORT: some UDP socket is bound to it.
taken() {
	grep -q ":$(printf %04X "$1") " /proc/net/udp /proc/net/udp6 2>/dev/null
}

# free_port: sets $port to one that nobody uses, below the range from which the kernel hands them out.
free_port() {
	while :; do
		port=$(od -An -N2 -tu2 /dev/urandom)
		port=$((10000 + port % 20000))
		taken $port || return 0
	done
}

# listening PID PORT: the server is up, or has ended.
up_or_gone() {
	taken "$2" || ! ours "$1"
}

# start NAME COMMAND...: a server in the background that will listen on $port; its output goes to $tmp/NAME.log.
# Sets $pid. False if it ends instead. COMMAND may be "peer". The process is the server itself, so that it can be ended.
# Our server stays who we are, unless told otherwise: the files of a test are ours. Whom it becomes is in e2e_daemon.sh.
start() {
	name=$1 started=$tmp/$1.log
	shift
	[ "$1" = setpriv ] || for arg; do
		shift
		set -- "$@" "$arg"
		[ "$arg" = "$tftpd" ] && set -- "$@" --user "$whoami"
	done
	(
		if [ "$1" = peer ]; then
			shift
			use_peer "$@"
		fi
		exec "$@"
	) >"$tmp/$name.log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
	# Not asked twice: the kernel's list may pass over a socket while others come and go.
	eventually up_or_gone $pid "$port" && ours $pid
}

# start_tftpd NAME ARGUMENTS...: our server on 127.0.0.1, and on ::1 where there is one. Sets $port, $pid and $log; a
# failure ends the script.
start_tftpd() {
	server=$1
	shift
	log=$tmp/$server.log
	for attempt in 1 2 3; do
		free_port
		if has_v6; then
			start "$server" "$tftpd" --address "127.0.0.1:$port" --address "[::1]:$port" "$@"
		else
			start "$server" "$tftpd" --address "127.0.0.1:$port" "$@"
		fi && eventually test -s "$log" && return 0
	done
	not_ok "the server starts ($attempt tries): $(cat "$log")"
	exit 1
}

has_v6() {
	[ -e /proc/net/if_inet6 ] && grep -q '^0*1 .* lo$' /proc/net/if_inet6
}

# use_peer PACKAGE/PATH ARGUMENTS...: this process becomes one of the programs that tests/setup.sh unpacked, with its
# libraries. peer: the same, to be waited for.
use_peer() {
	LD_LIBRARY_PATH=$(find "$peers/${1%%/*}" -type d -path '*/lib/*-linux-gnu' | paste -s -d: -)
	export LD_LIBRARY_PATH
	program=$peers/$1
	shift
	exec $bound "$program" "$@"
}
peer() {
	(
		bound="timeout $((900 * slow))"
		use_peer "$@"
	)
}
has_peer() {
	[ -x "$peers/$1" ]
}

# bytes N FILE: N bytes that do not compress, repeat or end in anything special.
bytes() {
	head -c "$1" /dev/urandom >"$2"
}

# log_lines TEXT: how many lines of the server's log hold it.
log_lines() {
	grep -cF -- "$1" "$log"
}

# log_peers TEXT: how many clients the lines that hold it are about. A request that a busy machine answers late is repeated,
# from the same port, and may have a line for each.
log_peers() {
	grep -F -- "$1" "$log" | grep -o ' peer=[^ ]*' | sort -u | wc -l
}

# disturbed LINES: the server's log has, behind so many lines, a transfer in which something had to be repeated, soon.
# Other people's clients have faults of their own there, and what is repeated is the machine's doing.
disturbed() {
	seen=$1
	longer() { [ "$(wc -l <"$log")" -gt "$seen" ]; }
	eventually longer && sed "1,${seen}d" "$log" | grep -qE 'resent=[1-9]|^failed '
}

# netascii <IN >OUT: as it goes on the wire (RFC 764).
to_netascii() {
	perl -0777 -pe 's/\r/\r\0/g; s/\n/\r\n/g'
}
from_netascii() {
	perl -0777 -pe 's/\r(\n|\0)/$1 eq "\n" ? "\n" : "\r"/ge'
}

# make_files DIR: the sizes that matter, and texts whose line ends lie at block borders.
sizes="0 1 511 512 513 1048576"
make_files() {
	for size in $sizes; do
		bytes "$size" "$1/f$size"
	done
	bytes 33600001 "$1/fwrap" # 65,626 blocks of 512
	perl -e '
		sub text {
			my ($name, $text) = @_;
			open(my $f, ">", "$ARGV[0]/$name") or die;
			binmode $f;
			print $f $text;
		}
		text("t-lf", join("", map { "line $_\n" } 1 .. 500));
		text("t-border", ("x" x 511) . "\n" . ("y" x 509) . "\r" . ("z" x 512) . "\n\n\r\n");
		text("t-even", ("x" x 510) . "\n");
		text("t-cr", join("", map { "a\rb\r\nc\n" } 1 .. 300));
		text("t-end", ("x" x 600) . "\r");
	' "$1"
	chmod 666 "$1"/*
}
texts="t-lf t-border t-even t-cr t-end"

# together COMMAND...: run the functions at the same time, print what they said one after the other.
together() {
	jobs=
	for job; do
		(
			pids=
			trap end_children EXIT
			trap 'exit 1' INT TERM
			"$job" >"$tmp/job.$job" 2>&1
		) &
		jobs="$jobs $!"
		pids="$pids $!"
	done
	for job in $jobs; do
		wait "$job"
	done
	for job; do
		cat "$tmp/job.$job"
		grep -q '^not ok ' "$tmp/job.$job" && failed=1
	done
}
