#!/bin/sh
# tests/bench/bench.sh BUILD [WORD...]: our server and client beside everybody else's that is found, as Markdown.
#
# Words, in any order (make bench ARGS="..."):
#   SECTION...   limits lockstep window many small put loss patience client fair idle; none: all of them
#   quick        one short round of everything: a check of the bench more than of the servers
#   rounds=N     how often each measurement is repeated, interleaved with the others; medians are printed (default 5)
#   servers=A,B  of ours,nosync,hpa,atftpd,dnsmasq,null,bare,limit (default: all found; nosync: ours without fsync)
#   clients=A,B  of ours,curl,hpa,atftp,busybox,bare
#   case=TEXT    only the cases whose name contains TEXT
#   size=K       for `loss`: how many KiB the file has; default smaller where a round trip costs much, 8192 elsewhere
#   nice=N       priority of everything measured: -15 keeps others' work on this machine out of the figures (root)
#   out=DIR      where the raw numbers and the tables go (default BUILD/bench/out)
#
# One client and its server share a CPU, since a wake-up across CPUs costs more than a block; for many clients, and for
# the link emulator, they have one each. Many clients go on only when the last one is under way, so that all run at once. All
# traffic is on the loopback of a network namespace of its own where that is allowed (dnsmasq must listen on port 69).
# Programs of other people come from BUILD/peers (tests/setup.sh) or PATH. Files live in memory (BENCH_TMP, default
# /dev/shm), uploads on disk (BENCH_DISK, default BUILD/bench): fsync costs there.
#
# A measurement is one run of build/bench/run, which starts the server afresh, bounds the time and ends all it started.
# Reading the tables: "x peer" compares with the best of the other people's programs in this case, "x limit" with what
# the system calls on sockets alone reach. `bare` moves the file with one system call after another and no care at all:
# a bound for what a server or a client can be. CPU is of the server with all its children (in `client`, of the client);
# GB = 10^9 bytes.
# In `loss` a transfer that takes longer than 30 s is cut off there, counts as failed with the rate it had, and is not
# repeated in later rounds.
set -u
build=$(cd "$1" && pwd) || exit 2
[ -n "${BENCH_NET:-}" ] || ! unshare -n true 2>/dev/null || BENCH_NET=own exec unshare -n "$0" "$@"
shift
# A second address: tftpd-hpa does not start where there is only the loopback's.
[ "${BENCH_NET:-}" = own ] && ip link set lo up && ip addr add 192.0.2.1/32 dev lo
bin=$build/bench peers=$build/peers out=$build/bench/out
rounds=5 quick= sections=
servers=ours,nosync,hpa,atftpd,dnsmasq,null,bare,limit clients=ours,curl,hpa,atftp,busybox,bare
only= size= here=$(cd "$(dirname "$0")" && pwd)
for word; do
	case $word in
	quick) quick=1 rounds=1 ;;
	rounds=*) rounds=${word#*=} ;;
	servers=*) servers=${word#*=} ;;
	clients=*) clients=${word#*=} ;;
	case=*) only=${word#*=} ;;
	size=*) size=${word#*=} ;;
	nice=*) renice -n "${word#*=}" $$ >/dev/null || exit 2
		# Priorities count only within a session, where the kernel groups tasks by session.
		echo "${word#*=}" 2>/dev/null >/proc/$$/autogroup || true ;;
	out=*) out=${word#*=} ;;
	limits | lockstep | window | many | small | put | loss | patience | client | fair | idle)
		sections="$sections $word" ;;
	*) sed -n '2,/^set/s/^#[ ]\{0,1\}//p' "$0" >&2; exit 64 ;;
	esac
done
: "${sections:=limits lockstep window many small put loss patience client fair idle}"
tmp=$(mktemp -d "${BENCH_TMP:-/dev/shm}/tftp-bench.XXXXXX") || exit 2
disk=$(mktemp -d "${BENCH_DISK:-$build/bench}/put.XXXXXX") || exit 2
trap 'rm -rf "$tmp" "$disk"' EXIT
trap 'exit 130' INT TERM HUP
export BENCH_PID=$$
chmod 755 "$tmp"
chmod 777 "$disk"
mkdir -p "$tmp/files" "$tmp/got" "$out"
ulimit -n "$(ulimit -Hn)"
last=$(($(nproc) - 1))

# the programs.

lib=$(find "$peers" -type d -path '*lib/*-linux-*' -prune 2>/dev/null | tr '\n' ':')
peer() { # PACKAGE PATH: the unpacked program, or the one of that name that is installed
	if [ -x "$peers/$1/$2" ]; then
		echo "env LD_LIBRARY_PATH=$lib $peers/$1/$2"
	else
		PATH=$PATH:/usr/sbin:/sbin command -v "${2##*/}"
	fi
}

server() { # NAME DIR: sets cmd and port; fails if there is no such program
	port=7001
	case $1 in
	ours) cmd="$build/tftpd --user $(id -un) --address 127.0.0.1:$port $2"
		case $section in put | fair) cmd="$cmd --create" ;; esac ;;
	nosync) cmd="$build/tftpd --user $(id -un) --address 127.0.0.1:$port --create --no-sync $2"
		"$build/tftpd" --help 2>&1 | grep -q -e --no-sync ;;
	null) cmd="$bin/null 127.0.0.1:$port" ;;
	bare) cmd="$bin/bare serve 127.0.0.1:$port $2" ;;
	hpa) cmd=$(peer tftpd-hpa usr/sbin/in.tftpd) &&
		cmd="$cmd -L --address 127.0.0.1:$port --user $(id -un) --create --secure $2" ;;
	atftpd) cmd=$(peer atftpd usr/sbin/atftpd) &&
		cmd="$cmd --daemon --no-fork --user $(id -un) --group $(id -gn) --maxthread 5000" &&
		cmd="$cmd --port $port --bind-address 127.0.0.1 $2" ;;
	dnsmasq) port=69 && cmd=$(peer dnsmasq-base usr/sbin/dnsmasq) &&
		cmd="$cmd --no-daemon --conf-file=/dev/null --port=0 --user=$(id -un) --enable-tftp=lo --tftp-root=$2" &&
		cmd="$cmd --tftp-max=5000 --edns-packet-max=65535" ;; # without the last, blocks end at about 1500
	*) return 1 ;;
	esac
}

client() { # NAME PORT FILE OUT BLKSIZE WINDOW: sets cmd; fails if it cannot do that. BLKSIZE 0: its own defaults
	case $1 in
	ours) cmd="$build/tftp get tftp://127.0.0.1:$2/$3 $4"
		[ "$5" -eq 0 ] || cmd="$build/tftp --blksize $5 --windowsize $6 get tftp://127.0.0.1:$2/$3 $4" ;;
	curl) [ "$6" -eq 1 ] && cmd=$(command -v curl) && cmd="$cmd -s -o $4 tftp://127.0.0.1:$2/$3" || return 1
		[ "$5" -eq 0 ] || cmd="$cmd --tftp-blksize $5" ;;
	hpa) [ "$6" -eq 1 ] && [ "$5" -le 512 ] && cmd=$(peer tftp-hpa usr/bin/tftp) || return 1
		cmd="$cmd -m binary 127.0.0.1 $2 -c get $3 $4" ;;
	atftp) cmd=$(peer atftp usr/bin/atftp) || return 1
		cmd="$cmd -g -r $3 -l $4 127.0.0.1 $2"
		[ "$5" -eq 0 ] || cmd="$cmd --option @blksize_$5"
		[ "$6" -eq 1 ] || cmd="$cmd --option @windowsize_$6" ;;
	busybox) [ "$6" -eq 1 ] && cmd=$(peer busybox-static bin/busybox) || return 1
		[ "$5" -eq 0 ] && set -- "$1" "$2" "$3" "$4" 512 1
		cmd="$cmd tftp -g -b $5 -r $3 -l $4 127.0.0.1 $2" ;;
	bare) [ "$6" -eq 1 ] && [ "$5" -gt 0 ] || return 1
		cmd="$bin/bare get 127.0.0.1:$2 $3 $4 $5" ;;
	*) return 1 ;;
	esac
}

# measuring.

listed() { case ,$2, in *,"$1",*) ;; *) return 1 ;; esac; }
wanted() { case $1 in *"$only"*) ;; *) return 1 ;; esac; }

note() { # CASE WHO WORDS: one measurement into the raw numbers of this section
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$out/$section"
	[ ! -t 2 ] || printf '\r\033[K%s %s/%s: %s %s' "$section" "$round" "$rounds" "$1" "$2" >&2
}

words() { # arguments with @name_value for "name value"
	words= && for w; do
		case $w in
		@*) w=${w#@} && set -- "$@" "${w%%_*} ${w#*_}" ;;
		*) set -- "$@" "$w" ;;
		esac
		shift
	done
	"$@"
}

# measure CASE WHO DIR SERVER-CPU CLIENT-CPU SECONDS load-arguments...
measure() {
	name=$1 who=$2 dir=$3 scpu=$4 ccpu=$5 limit=$6
	shift 6
	wanted "$name" && listed "$who" "$servers" && server "$who" "$dir" || return 0
	verb=$1
	shift
	note "$name" "$who" "$("$bin/run" -t "$limit" -s "$scpu" -c "$ccpu" -o "$tmp/log" -p 127.0.0.1:$port -- $cmd -- \
		"$bin/load" "$verb" 127.0.0.1:$port -L $((limit - 5)) "$@" 2>"$tmp/errors" | tr '\n' ' ')"
	: >"$tmp/log"
}

ceiling() { # CASE limit-arguments...
	name=$1
	shift
	wanted "$name" && listed limit "$servers" && note "$name" limit "$("$bin/limit" "$@" | tr '\n' ' ')"
	return 0
}

files() { # COUNT SIZE: what the servers serve, made once
	[ -e "$tmp/files/.made-$1-$2" ] || "$bin/load" make "$tmp/files" "$1" "$2" || exit 2
	: >"$tmp/files/.made-$1-$2"
}

GETTERS='ours hpa atftpd dnsmasq null'
PUTTERS='ours nosync hpa atftpd null'

section_limits() {
	for blk in 512 1428 8192 65464; do
		ceiling "ping-pong $blk" window $blk 1 -c "$last" -s 64M
	done
	for w in 4 16 44 64; do
		ceiling "window $w into GRO" window 1428 $w -g -s 1G -c "$last"
		ceiling "window $w into plain" window 1428 $w -s 512M -c "$last"
	done
	files 1 256M
	for chunk in 512 1428 8192 64k 1M; do
		ceiling "pread $chunk" read "$tmp/files/f0-268435456" $chunk -c "$last"
	done
	ceiling "ping-pong 1428, two CPUs" window 1428 1 -s 16M -c 0 -d "$last"
}

section_lockstep() {
	for shape in 512:64M 1428:128M 8192:256M 65464:1G; do
		blk=${shape%:*} bytes=${shape#*:}
		[ -n "$quick" ] && bytes=32M
		files 1 $bytes
		for who in $GETTERS bare; do
			measure "$blk" $who "$tmp/files" "$last" "$last" 60 get -b $blk -s $bytes
		done
		ceiling "$blk" window $blk 1 -c "$last" -s $bytes
	done
}

section_window() {
	for w in 4 16 44 64; do
		for gro in GRO plain; do
			for who in $GETTERS; do
				case $who in
				ours | null) bytes=${quick:+128M} && bytes=${bytes:-512M} ;;
				*) bytes=${quick:+16M} && bytes=${bytes:-64M} ;;
				esac
				files 1 $bytes
				measure "$w, $gro" $who "$tmp/files" "$last" "$last" 60 get -w $w -s $bytes \
					$([ $gro = GRO ] && echo -g)
			done
			ceiling "$w, $gro" window 1428 $w -c "$last" -s 512M $([ $gro = GRO ] && echo -g)
		done
	done
}

section_many() {
	for shape in 1:256M 10:24M 100:2560k 1000:256k 4000:64k; do
		n=${shape%:*} bytes=${shape#*:}
		[ -n "$quick" ] && case $n in 1) bytes=32M ;; 10) bytes=4M ;; 100) bytes=512k ;; 1000) bytes=64k ;; esac
		files 1 $bytes
		for who in $GETTERS; do
			measure "$n, lockstep" $who "$tmp/files" 0 "$last" 60 get -A -n $n -s $bytes
			measure "$n, window 16" $who "$tmp/files" 0 "$last" 60 get -A -n $n -s $bytes -w 16 -g
		done
	done
}

section_small() {
	n=20000
	[ -n "$quick" ] && n=4000
	files $n 1k
	for who in $GETTERS; do
		measure "with options" $who "$tmp/files" 0 "$last" 60 get -n 64 -t $n -f $n -s 1k
		measure "without" $who "$tmp/files" 0 "$last" 60 get -n 64 -t $n -f $n -s 1k -O
	done
}

# A hypervisor takes back memory and disk blocks that are free for a while, and the first to use them again pays for
# that: nobody who is measured. COUNT SIZE: as much as so many uploads take.
warm() {
	size=$(numfmt --from=iec "$(echo "$2" | tr km KM)")
	for pass in 1 2; do
		taskset -c "$last" dd if=/dev/zero of="$disk/warm" bs=256K count=$(($1 * size / 262144)) 2>/dev/null
		rm "$disk/warm"
	done
}

section_put() {
	for shape in 1:1:64M 1:16:256M 1:64:256M 100:1:1M 100:16:2M 1000:1:128k; do
		n=${shape%%:*} bytes=${shape##*:} w=${shape#*:} && w=${w%:*}
		[ -n "$quick" ] && case $n in 1) bytes=16M ;; *) bytes=64k ;; esac
		for who in $PUTTERS; do
			cpu=$last && [ $n -gt 1 ] && cpu=0
			warm $n $bytes
			measure "$n, window $w" $who "$disk" $cpu "$last" 60 put -A -n $n -f $n -s $bytes -w $w
			# What was acknowledged must be there. The null server keeps nothing.
			if [ $who != null ] && [ -n "$(ls "$disk")" ]; then
				find "$disk" -type f -name 'f*' -print0 | xargs -0 "$bin/load" check 2>&1 | tail -n 1 | grep -v ' bad=0' >&2
			fi
			find "$disk" -type f -delete
		done
	done
}

# over_link CASE WHO CLIENT SERVER RTT-us LOSS WINDOW
over_link() {
	what=$1 pair=$2 rtt=$5 loss=$6 w=$7 fetcher=$3
	wanted "$what" && listed "$4" "$servers" && listed "$3" "$clients" && server "$4" "$tmp/files" || return 0
	serve=$cmd
	kib=$size
	if [ -z "$kib" ]; then
		case $rtt:$w in 20000:1) kib=256 ;; 20000:*) kib=4096 ;; 1000:1) kib=4096 ;; *) kib=8192 ;; esac
		[ -n "$quick" ] && kib=$((kib / 4))
	fi
	files 1 ${kib}k
	blk=1428
	[ "$fetcher" = hpa ] && blk=512
	grep -q "^$what	$pair	.*status=time" "$out/loss" && return 0
	client "$fetcher" 7002 "f0-$((kib * 1024))" "$tmp/got/f0-$((kib * 1024))" $blk "$w" || return 0
	rm -rf "$tmp/got" && mkdir "$tmp/got"
	line=$(words "$bin/run" -t 30 -s 0 -c "$last" -o "$tmp/log" -p 127.0.0.1:$port -- $serve -- \
		"$bin/link" -c 0 -D $((rtt / 2)) -l "$loss" -S "$((round * 7 + 1))" 127.0.0.1:7002 127.0.0.1:$port -- \
		sh -c 'exec "$@" >/dev/null 2>&1' sh $cmd | tr '\n' ' ')
	fail=1
	"$bin/load" check "$tmp/got/f0-$((kib * 1024))" >/dev/null 2>&1 && case $line in *status=ok*) fail=0 ;; esac
	bytes=$(cat "$tmp"/got/* "$tmp"/got/.[!.]* 2>/dev/null | wc -c)
	# Of one that was cut off there may be no file to see: what came through the link counts then, repeats and all.
	note "$what" "$pair" "$(echo "$line" | awk -v b="$bytes" -v f=$fail '{
		for (i = 1; i <= NF; i++) { split($i, kv, "="); v[kv[1]] = kv[2] }
		if (!b && v["status"] == "time" && v["down"]) b = v["down_bytes"] * (1 - v["down_lost"] / v["down"])
		printf "mbs=%.3f bytes=%d fail=%d sent=%.3f %s", b / 1e6 / v["wall"], b, f, b ? v["down_bytes"] / b : 0, $0 }')"
}

section_loss() {
	rtts='200 1000 20000'
	[ -n "$quick" ] && rtts=1000
	for rtt in $rtts; do
		for loss in 0 0.1 1 5; do
			[ -n "$quick" ] && case $loss in 0.1 | 5) continue ;; esac
			for w in 1 16; do
				for pair in ours-ours ours-hpa ours-atftpd ours-dnsmasq curl-ours hpa-ours atftp-ours busybox-ours \
					hpa-hpa atftp-atftpd curl-dnsmasq busybox-hpa; do
					case $w:$pair in 16:*-hpa | 16:*-dnsmasq) continue ;; esac
					ms=$((rtt / 1000)).$((rtt % 1000 / 100))
					over_link "${ms%.0} ms, $loss %, window $w" "$pair" "${pair%-*}" "${pair#*-}" $rtt $loss $w
				done
			done
		done
	done
}

# How a server waits: for a client that takes 50 ms over each block (nothing need be repeated once that is known), and
# with an agreed timeout of 1 s for one that takes 2.5 s (each block is repeated after 1 s and after 2 s).
section_patience() {
	bytes=100k
	[ -n "$quick" ] && bytes=20k
	files 1 $bytes
	files 1 3k
	for who in ours hpa atftpd dnsmasq; do
		measure "50 ms per block" $who "$tmp/files" 0 "$last" 60 get -d 50 -s $bytes
		measure "2.5 s per block, timeout 1" $who "$tmp/files" 0 "$last" 60 get -d 2500 -T 1 -s 3k -r 9000
	done
}

section_client() {
	bytes=256M real=268435456
	[ -n "$quick" ] && bytes=32M real=33554432
	for shape in 512:1 1428:1 1428:16 1428:64 8192:1 65464:1 0:1; do
		blk=${shape%:*} w=${shape#*:}
		for who in ours curl hpa atftp busybox bare; do
			what="$blk, window $w"
			[ "$blk" -eq 0 ] && what="its own defaults"
			wanted "$what" && listed $who "$clients" || continue
			client $who 7001 "f0-$real" "$tmp/got/f0-$real" $blk $w || continue
			rm -rf "$tmp/got" && mkdir "$tmp/got"
			line=$(words "$bin/run" -t 60 -s "$last" -c "$last" -p 127.0.0.1:7001 -q /dev/null -- "$bin/null" \
				127.0.0.1:7001 -- $cmd 2>/dev/null)
			fail=0
			"$bin/load" check "$tmp/got/f0-$real" >/dev/null 2>&1 || fail=1
			got=$(cat "$tmp"/got/* 2>/dev/null | wc -c)
			note "$what" $who "$(echo "$line" | awk -v b="$got" -v f=$fail '{
				for (i = 1; i <= NF; i++) { split($i, kv, "="); v[kv[1]] = kv[2] }
				printf "mbs=%.3f bytes=%d fail=%d %s", b / 1e6 / v["wall"], b, f, $0
				printf " scpu=%s smem=%s", v["ccpu"], v["cmem"] }')"
			rm -f "$tmp/got"/*
		done
	done
}

section_fair() {
	files 1 1G
	files 100 1k
	n=100
	small="$bin/load get 127.0.0.1:PORT -c $last -P -p 10 -t $n -f $n -s 1k"
	for who in ours hpa atftpd dnsmasq; do
		listed $who "$servers" && server $who "$tmp/files" || continue
		one=$(echo "$small" | sed "s/PORT/$port/")
		for load in idle busy; do
			wanted $load || continue
			script="$one"
			[ $load = busy ] && script="
				$bin/load get 127.0.0.1:$port -c $last -w 16 -g -s 1G -t 100 -L 20 >/dev/null & a=\$!
				$bin/load put 127.0.0.1:$port -c $last -w 16 -F 7 -s 8G -L 20 >/dev/null 2>&1 & b=\$!
				sleep 0.5; $one; kill \$a \$b; wait"
			note "$load" $who "$("$bin/run" -t 40 -s 0 -o "$tmp/log" -p 127.0.0.1:$port -- $cmd -- \
				sh -c "$script" 2>/dev/null | tr '\n' ' ')"
			rm -f "$tmp/files"/f7-8589934592 "$tmp/files"/.tftp-part-*
		done
	done
}

section_idle() {
	mkdir -p "$tmp/idle"
	seconds=10
	[ -n "$quick" ] && seconds=2
	for who in ours hpa atftpd dnsmasq null; do
		listed $who "$servers" && server $who "$tmp/idle" || continue
		note "$seconds s" $who "$("$bin/run" -t 40 -i $seconds -o "$tmp/log" -p 127.0.0.1:$port -- $cmd)"
	done
}

# the tables.

report() { # SECTION
	[ -s "$out/$1" ] && awk -F '\t' -v section="$1" -f "$here/report.awk" "$out/$1"
}

{
	echo "Linux $(uname -r | cut -d- -f1), $(nproc) CPUs ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)),"
	echo "$rounds rounds, load $(cut -d' ' -f1 /proc/loadavg) at the start, ${BENCH_NET:-shared} network namespace"
} | tee "$out/machine"
for section in $sections; do
	: >"$out/$section"
	round=1
	while [ $round -le "$rounds" ]; do
		"section_$section"
		round=$((round + 1))
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
	report "$section" | tee "$out/$section.md"
done
