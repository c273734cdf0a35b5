#!/bin/sh
# `tftp doctor` in networks that have each fault: what it finds, what it advises, and its exit status. Two network
# namespaces, client's and server's, with a bridge between them in a third where the MTU can be wrong.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

a=tftp-$$-a b=tftp-$$-b m=tftp-$$-m
in_a() { ip netns exec "$a" "$@"; }
in_b() { ip netns exec "$b" "$@"; }

remove_networks() {
	for net in $a $b $m; do
		ip netns del "$net" 2>/dev/null
	done
	clean_up
}
if ! command -v ip >/dev/null || ! ip netns add "$a" 2>/dev/null; then
	skip "the doctor needs network namespaces"
	exit 0
fi
trap remove_networks EXIT
ip netns add "$b"
ip netns add "$m"
# between NET NAME: a cable from that namespace to the one in the middle
between() {
	ip link add name "$2" netns "$1" type veth peer name "$2" netns "$m" &&
		ip netns exec "$1" ip link set dev lo up && ip netns exec "$1" ip link set dev "$2" up &&
		ip netns exec "$m" ip link set dev "$2" up
}
if ! between "$a" va || ! between "$b" vb || ! ip netns exec "$m" ip link add name br type bridge ||
	! ip netns exec "$m" ip link set dev br up || ! ip netns exec "$m" ip link set dev va master br ||
	! ip netns exec "$m" ip link set dev vb master br; then
	skip "the doctor needs veth and a bridge"
	exit 0
fi
in_a ip address add 10.99.0.1/24 dev va
in_b ip address add 10.99.0.2/24 dev vb
in_b ip address add 10.99.0.3/24 dev vb
in_a ping -c 1 -W 5 10.99.0.2 >/dev/null 2>&1 || sleep 1

mkdir "$tmp/root"
chmod 777 "$tmp/root"
bytes 3000000 "$tmp/root/file"
bytes 600000 "$tmp/root/medium"
bytes 100 "$tmp/root/small"
chmod 666 "$tmp/root"/*

# serve ARGUMENTS...: our server in the server's namespace
serve() {
	rm -f "$tmp/server.log"
	ip netns exec "$b" "$tftpd" --address 10.99.0.2:69 "$@" "$tmp/root" >"$tmp/server.log" 2>&1 &
	pid=$!
	pids="$pids $pid"
	eventually test -s "$tmp/server.log"
}

# played MODE: a server by hand, where ours does not have that fault
played() {
	rm -f "$tmp/played.log"
	ip netns exec "$b" perl -e '
		use Socket;
		my ($mode) = @ARGV;
		socket(my $s, PF_INET, SOCK_DGRAM, 17) or die;
		bind($s, sockaddr_in(69, inet_aton("10.99.0.2"))) or die;
		my $from = $mode eq "elsewhere" ? "10.99.0.3" : "10.99.0.2";
		$| = 1; print "ready\n";
		while (defined(my $peer = recv($s, my $p, 65536, 0))) {
			my ($op, $rest) = unpack("na*", $p);
			next unless $op == 1 || $op == 2;
			my ($name, $type, @options) = split(/\0/, $rest);
			next if $mode eq "mute" && @options;
			my $one;
			if ($mode eq "single") {
				$one = $s;
			} else {
				socket($one, PF_INET, SOCK_DGRAM, 17);
				bind($one, sockaddr_in(0, inet_aton($from))) or die;
			}
			if ($op == 2) {
				send($one, pack("nnZ*", 5, 2, "no uploads"), 0, $peer);
			} elsif ($mode eq "refuses" && @options) {
				send($one, pack("nnZ*", 5, 8, "no options"), 0, $peer);
			} elsif ($mode eq "nonsense" && @options) {
				send($one, pack("n", 6) . "blksize\0" . "18446744073709552128\0tsize\0-5\0", 0, $peer);
			} elsif ($name =~ /^tftp-doctor/) {
				send($one, pack("nnZ*", 5, 1, "File not found"), 0, $peer);
			} else {
				my $block = "x" x 100;
				send($one, pack("nn", 3, 1) . $block, 0, $peer);
			}
		}' "$1" >"$tmp/played.log" 2>&1 &
	pid=$!
	pids="$pids $pid"
	eventually test -s "$tmp/played.log"
}

arguments_for_all=
# finds STATUS NAME ARGUMENTS... -- WORDS...: run the doctor; each of the words must be in what it says
finds() {
	wanted=$1 name=$2
	shift 2
	arguments=
	while [ "$1" != -- ]; do
		arguments="$arguments $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # a list of words
	in_a timeout 60 "$tftp" doctor $arguments_for_all $arguments >"$tmp/said" 2>&1
	status=$?
	missing=
	for words; do
		grep -qF -- "$words" "$tmp/said" || missing="$missing <$words>"
	done
	if [ $status -ne "$wanted" ]; then
		not_ok "$name: exit status $status and not $wanted: $(tr '\n' '|' <"$tmp/said")"
	elif [ -n "$missing" ]; then
		not_ok "$name:$missing is missing: $(tr '\n' '|' <"$tmp/said")"
	else
		ok "$name"
	fi
}

# lost_each N: it has said so of each Nth request. A busy machine does not come to ask all 200 of them.
lost_each() {
	check "and it has counted right" awk -v n="$1" '/packets are lost: [0-9]+ of [0-9]+ requests/ {
			split($0, w, /packets are lost: /)
			split(w[2], v)
			off = v[1] * n - v[3]
			right = v[1] >= 2 && off > -n && off < n
		}
		END { exit !right }' "$tmp/said"
}

# rules TEXT: a firewall in the server's namespace, for one test
rules() {
	in_b nft -f - 2>/dev/null <<-END
		table inet doctor {
			$1
		}
	END
}
no_rules() { in_b nft delete table inet doctor; }

# loses NET RULE: what comes into that namespace (a or b) and fits the rule; mends NET
loses() {
	printf 'table inet line {\nchain in { type filter hook input priority 0; %s; }\n}\n' "$2" | "in_$1" nft -f - ||
		not_ok "the line can be made to lose packets"
}
mends() { "in_$1" nft delete table inet line; }

serve --create
finds 0 "a good server is found good" 10.99.0.2 file -- "answers after" "port of the transfer's own" "windowsize=16" \
    "this suite's" "best window" "round trip" "no loss to speak of: " "uploads of new files are taken" "all is well"
finds 0 "without a file it says what it cannot know" 10.99.0.2 -- "name a FILE" "round trip" "no loss" "all is well"
finds 0 "a small file proves little" 10.99.0.2 small -- "too small to tell"
finds 2 "a file that is not there is named" 10.99.0.2 nothing -- "does not give" "check the name"
finds 2 "a port where nobody listens" 10.99.0.2:70 file -- "nothing listens on UDP port 70" "does not work"
finds 6 "a host that does not exist" nobody.invalid -- "cannot find the host"
finds 2 "a host that is not there" 10.99.0.77 file -- "does not work"

# The MTU in the middle is smaller than both ends believe, and the bridge says nothing.
ip netns exec "$m" ip link set dev va mtu 1300
finds 1 "an MTU black hole is found, with the size that works" 10.99.0.2 file -- "blocks of 1268 bytes arrive" \
    "blocks of 1269 do not" "the MTU is smaller" "--blksize 1268"
in_a timeout 60 "$tftp" get tftp://10.99.0.2/file "$tmp/got"
same "and a get finds its way through it" "$tmp/root/file" "$tmp/got"
ip netns exec "$m" ip link set dev va mtu 1500

# The other way: what was read from a pipe is sent once more in smaller blocks. A bridge lets what goes by UDP_SEGMENT pass
# whatever its size, so that has to be off.
ip netns exec "$m" ip link set dev vb mtu 1470
mkfifo "$tmp/fifo"
from_pipe() {
	cat "$tmp/root/medium" | in_a timeout 60 "$tftp" --without gso put - tftp://10.99.0.2/from-pipe 2>&1
	same "an upload from a pipe finds its way, too" "$tmp/root/medium" "$tmp/root/from-pipe"
}
from_fifo() {
	(cat "$tmp/root/medium"; sleep 1; cat "$tmp/root/medium") >"$tmp/fifo" &
	in_a timeout 60 "$tftp" --without gso put "$tmp/fifo" tftp://10.99.0.2/from-fifo 2>&1
	cat "$tmp/root/medium" "$tmp/root/medium" >"$tmp/twice"
	same "and one from a pipe that has a name" "$tmp/twice" "$tmp/root/from-fifo"
}
from_text() {
	cat "$tmp/text" | in_a timeout 60 "$tftp" --without gso --mode netascii put - tftp://10.99.0.2/from-text 2>&1
	same "and a text" "$tmp/text" "$tmp/root/from-text"
}
from_little() {
	head -c 1450 "$tmp/root/file" >"$tmp/little"
	cat "$tmp/little" | in_a timeout 60 "$tftp" --without gso put - tftp://10.99.0.2/from-little 2>&1
	same "and a pipe that ends within the first block" "$tmp/little" "$tmp/root/from-little"
}
seq 1 20000 >"$tmp/text"
together from_pipe from_fifo from_text from_little
ip netns exec "$m" ip link set dev vb mtu 1500

stop "$pid"
serve --create --blocksize max
finds 0 "blocks that go in fragments are told from those that do not" 10.99.0.2 file -- \
    "blocks up to 65464 bytes arrive, up to 1468 without fragments"
if in_a sysctl -qw net.ipv4.ipfrag_low_thresh=0 net.ipv4.ipfrag_high_thresh=0 2>/dev/null; then
	finds 0 "fragments that are lost are no trouble, but said" 10.99.0.2 file -- \
	    "fragments are lost above" "--blksize 1468"
	in_a sysctl -qw net.ipv4.ipfrag_high_thresh=4194304
else
	skip "lost fragments: the limit cannot be set here"
fi

if command -v nft >/dev/null && rules 'chain out { type filter hook output priority 0; udp sport != 69 drop; }'; then
	# Fewer tries, to save time.
	arguments_for_all="--retries 1"
	finds 2 "a firewall that drops replies from a new port" 10.99.0.2 file -- "from its new port does not arrive" \
	    "nf_conntrack_tftp" "--single-port"
	no_rules
	rules 'chain in { type filter hook input priority 0; udp dport != 69 drop; }'
	finds 2 "a firewall that opens port 69 alone" 10.99.0.2 file -- "no block of" "port 69 alone" "--port-range" \
	    "does not work"
	in_a "$tftp" --blksize 512 get tftp://10.99.0.2/file "$tmp/got" 2>"$tmp/said"
	check "get says so too" grep -qF "does a firewall drop what is sent to the new port" "$tmp/said"
	no_rules
	rules 'chain in { type filter hook input priority 0; udp dport 69 drop; }'
	finds 2 "a firewall that drops requests" 10.99.0.2 file -- "refuses other ports" "do:"
	no_rules
	rules 'chain in { type filter hook input priority 0; drop; }'
	finds 2 "a firewall that drops everything" 10.99.0.2 file -- "does not work"
	no_rules
	arguments_for_all=
	# The line loses packets on their way into a namespace: what a rule drops on its way out, its sender is told of.
	# Without GSO, or a rule would take whole windows. Each tenth is lost, exactly: of 200 requests 20 have no answer,
	# where 2 are enough for the verdict, and no question is asked three times in vain. Were as many lost at random,
	# this verdict would be wrong with a chance of 1.6e-8 (0.9^200 + 200 * 0.1 * 0.9^199), but each of the dozen
	# questions before would be lost altogether with one of 1e-3.
	stop "$pid"
	serve --create --without gso
	loses a "meta l4proto udp numgen inc mod 10 0 drop"
	finds 1 "a line that loses answers" 10.99.0.2 medium -- "packets are lost" "requests had no answer" "cable"
	lost_each 10
	finds 1 "that it does is seen without a file, too" 10.99.0.2 -- "requests had no answer" "cable"
	lost_each 10
	mends a
	loses b "udp dport 69 numgen inc mod 20 0 drop"
	finds 1 "a line that loses requests" 10.99.0.2 -- "requests had no answer" "cable"
	lost_each 20
	mends b
	# As on a bad cable: no request is lost, but blocks are. Lockstep shows none; the windows are of 4 and 16 and 44.
	loses a "udp length > 1000 numgen inc mod 25 0 drop"
	finds 1 "a line that loses large packets" 10.99.0.2 medium -- "packets are lost" "blocks were missing" "cable"
	mends a
else
	skip "firewalls and loss: there is no nft here"
fi
stop "$pid"

# ^C while a sample is fetched, which takes two seconds here, ends all of it.
serve --rate 100000
: >"$tmp/said" # what the last one said is still there
ip netns exec "$a" perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$tftp" doctor 10.99.0.2 file >"$tmp/said" 2>&1 &
doctor=$!
eventually grep -q "^ok  *blocks up to" "$tmp/said"
sleep 0.3
kill -INT $doctor
wait $doctor
status=$?
check "^C ends the doctor with status 130 (it was $status)" test $status = 130
check "and without a verdict" test "$(tail -n 1 "$tmp/said")" = "tftp: interrupted"
stop "$pid"

serve
finds 0 "a server that takes no uploads" 10.99.0.2 file -- "uploads are refused" "--create"
stop "$pid"

for mode in elsewhere single refuses mute ignores nonsense; do
	played $mode
	case $mode in
	elsewhere) finds 1 "answers from another address" 10.99.0.2 file -- "another address: 10.99.0.3" "--relaxed-peer" ;;
	single) finds 1 "answers from the port that was asked" 10.99.0.2 file -- "come from port 69 itself" ;;
	refuses) finds 1 "a server that refuses options" 10.99.0.2 file -- "with options is refused" "--no-options" ;;
	mute) finds 1 "a server that is silent on options" 10.99.0.2 file -- "with options is not" "--no-options" ;;
	nonsense) finds 1 "a server whose options make no sense" 10.99.0.2 file -- "strict clients" "makes no sense" \
	    "blksize=18446744073709552128" "--no-options" ;;
	ignores) finds 1 "a server that ignores options" 10.99.0.2 file -- "ignores all options" "uploads are refused" ;;
	esac
	stop "$pid"
done

if has_peer tftpd-hpa/usr/sbin/in.tftpd; then
	libs=$(find "$peers/tftpd-hpa" -type d -path '*/lib/*-linux-gnu' | paste -s -d: -)
	LD_LIBRARY_PATH=$libs ip netns exec "$b" "$peers/tftpd-hpa/usr/sbin/in.tftpd" -4 -L -s -u root -a 10.99.0.2:69 \
	    "$tmp/root" >"$tmp/hpa.log" 2>&1 &
	pid=$!
	pids="$pids $pid"
	bound() { in_b grep -q ':0045 ' /proc/net/udp; }
	check "tftp-hpa's server is up" eventually bound
	finds 1 "tftp-hpa's server: no windows" 10.99.0.2 file -- "no windows" "likely tftp-hpa" "RFC 7440"
	stop "$pid"
else
	skip "a server without windows: tftpd-hpa is not to be had"
fi
exit $failed
