#!/bin/sh
# Which address an answer comes from, and how large a packet the way to the client carries: on real interfaces.
# shellcheck source-path=SCRIPTDIR source=lib.sh source=net.sh
. "$(dirname "$0")/net.sh"
. "$(dirname "$0")/lib.sh"

# Two interfaces, the first with several addresses; one client behind each, one of them on a link with a small MTU.
net_ns a b
net_link - s0 10.1.0.1/24,10.1.0.7/24,10.1.0.9/32,fd01::1/64,fd01::7/64 a a0 10.1.0.2/24,fd01::2/64
net_link - s1 10.2.0.1/24,fd02::1/64 b b0 10.2.0.2/24,fd02::2/64
within a ip route add default via 10.1.0.1
within a ip -6 route add default via fd01::1
ip link set s1 mtu 1420
within b ip link set b0 mtu 1420
echo 1 >/proc/sys/net/ipv4/ip_forward

mkdir "$tmp/root"
chmod 777 "$tmp/root"
bytes 200000 "$tmp/root/image"

fragments() {
	awk '/^Ip: [0-9]/ { v4 = $15 + $20 } END { print v4 + 0 }' /proc/net/snmp
	awk '$1 == "Ip6FragCreates" || $1 == "Ip6ReasmReqds" { print $2 }' /proc/net/snmp6
}

# Our client takes an answer only from the address it asked; so do boot programs.
every_address() {
	for host in 10.1.0.1 10.1.0.7 10.1.0.9 10.2.0.1 "[fd01::1]" "[fd01::7]" "[fd02::1]"; do
		check "$1: $host answers for itself" fetch a "tftp://$host:$port/image" "$tmp/root/image"
		check "$1: $host takes a write" store a "$tmp/root/image" "tftp://$host:$port/up" "$tmp/root/up"
	done
	link_local=$(ip -6 -o addr show dev s0 scope link | awk '{ sub("/.*", "", $4); print $4 }')
	check "$1: a link-local address answers for itself" \
		fetch a "tftp://[$link_local%25a0]:$port/image" "$tmp/root/image"
	check "$1: the other interface's client" fetch b "tftp://10.2.0.1:$port/image" "$tmp/root/image"
	check "$1: and its IPv6" fetch b "tftp://[fd02::1]:$port/image" "$tmp/root/image"
}

# A refusal must come from there as well.
refusals() {
	for host in 10.1.0.7 10.1.0.9 "[fd01::7]"; do
		timeout 60 ip netns exec a "$tftp" get "tftp://$host:$port/nothing" "$tmp/never" 2>"$tmp/said"
		check "$1: $host refuses for itself" test $? -eq 68
	done
}

before=$(fragments)
serve own --create "$tmp/root"
every_address "own ports"
refusals "own ports"
check "a large block is granted where it fits" eventually grep -q 'peer=10\.1\.0\.2:.*blksize:1468' "$log"
check "and a smaller one for IPv6" eventually grep -q 'peer=\[fd01::2\]:.*blksize:1448' "$log"
timeout 60 ip netns exec b "$tftp" get --blksize 65464 "tftp://10.2.0.1:$port/image" "$tmp/got" 2>/dev/null
check "MTU 1420 carries blocks of 1388" eventually grep -q 'peer=10\.2\.0\.2:.*blksize:1388' "$log"
timeout 60 ip netns exec b "$tftp" get --blksize 65464 "tftp://[fd02::1]:$port/image" "$tmp/got" 2>/dev/null
check "MTU 1420 carries blocks of 1368 over IPv6" eventually grep -q 'peer=\[fd02::2\]:.*blksize:1368' "$log"
check "not one fragment was made" test "$before" = "$(fragments)"
stop $pid

serve one --single-port --create "$tmp/root"
every_address "single port"
refusals "single port"
check "not one fragment was made by the single port" test "$before" = "$(fragments)"
stop $pid

serve max --blocksize max "$tmp/root"
check "--blocksize max: fragments where that is wanted" fetch b "tftp://10.2.0.1:$port/image" "$tmp/root/image" --blksize 8192
check "--blocksize max was granted" eventually grep -q 'blksize:8192' "$log"
check "and made fragments" test "$before" != "$(fragments)"
stop $pid
serve cap --blocksize 1000 "$tmp/root"
check "--blocksize 1000" fetch a "tftp://10.1.0.1:$port/image" "$tmp/root/image"
check "--blocksize 1000 is the cap" eventually grep -q 'blksize:1000' "$log"
stop $pid

# A broadcast: the request is sent by hand, by perl, and what comes back is told by its sender.
shout() {
	within a perl -MSocket -e '
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die;
		setsockopt($s, SOL_SOCKET, SO_BROADCAST, 1) or die;
		send($s, "\0\1image\0octet\0", 0, pack_sockaddr_in($ARGV[1], inet_aton($ARGV[0]))) or die $!;
		my $bits = ""; vec($bits, fileno $s, 1) = 1;
		my $wait = $ARGV[2];
		if (select($bits, undef, undef, $wait)) {
			my $from = recv($s, my $buf, 70000, 0);
			my ($port, $addr) = unpack_sockaddr_in($from);
			print inet_ntoa($addr), "\n";
		} else { print "silence\n"; }' "$1" "$port" "$2"
}
serve quiet "$tmp/root"
check "a broadcast request is ignored" test "$(shout 10.1.0.255 0.3)" = silence
check "also one to everybody" test "$(shout 255.255.255.255 0.3)" = silence
check "a request to the address itself is not" test "$(shout 10.1.0.7 30)" = 10.1.0.7
stop $pid
for mode in "" --single-port; do
	# no mode is no word
	# shellcheck disable=SC2086
	serve loud --answer-broadcast $mode "$tmp/root"
	check "--answer-broadcast $mode: from the interface's address" test "$(shout 10.1.0.255 30)" = 10.1.0.1
	check "--answer-broadcast $mode: to everybody" test "$(shout 255.255.255.255 30)" = 10.1.0.1
	stop $pid
done

# A way with a smaller MTU than our own interface's: the route says so, or a router has told.
before=$(fragments)
ip route add 10.1.0.2/32 dev s0 mtu 1300
serve route "$tmp/root"
check "a route with a smaller MTU" fetch a "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428
check "is heeded" eventually grep -q 'peer=10\.1\.0\.2:.*blksize:1268' "$log"
stop $pid
ip route del 10.1.0.2/32 dev s0
check "and not one fragment was made" test "$before" = "$(fragments)"
net_ns c
net_link a a2 10.3.0.1/24 c c0 10.3.0.2/24
within c ip route add default via 10.3.0.1
within a sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; ip link set a2 mtu 1000'
within c ip link set c0 mtu 1000
ip route add 10.3.0.0/24 via 10.1.0.2
serve router "$tmp/root"
check "a router with a smaller MTU on the way" \
	fetch c "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428 --windowsize 1
sleep 1.1 # that is how long an MTU is believed
check "what it told" fetch c "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428
check "is heeded the next time" eventually grep -q 'peer=10\.3\.0\.2:.*blksize:968' "$log"
stop $pid

# The same for whole windows, which the kernel cuts into datagrams: without "don't fragment" no router would tell. And
# where none does, because somebody drops what it says, fragments are better than nothing.
if command -v nft >/dev/null && within a nft -f - 2>"$tmp/nft.err" <<'EOF'; then
table inet look {
	counter unmarked { }
	chain pre {
		type filter hook prerouting priority 0
		iifname "a0" ip protocol udp ip frag-off & 0x4000 == 0 counter name "unmarked"
	}
	chain out {
		type filter hook output priority 0
	}
}
EOF
	# insistent HOST WINDOW: a client that wants its block size and no other, as firmware does
	insistent() {
		within c timeout 30 perl -MSocket -e '
			my ($host, $port, $window) = @ARGV;
			socket(my $s, AF_INET, SOCK_DGRAM, 0) or die;
			my $to = pack_sockaddr_in($port, inet_aton($host));
			send($s, "\0\1image\0octet\0blksize\0001428\0windowsize\0$window\0", 0, $to) or die $!;
			my ($next, $buf) = (1);
			while ($to = recv($s, $buf, 70000, 0)) {
				my ($op, $block) = unpack("nn", $buf);
				die "ERROR $buf" if $op == 5;
				send($s, "\0\4\0\0", 0, $to) if $op == 6;
				next if $op != 3 || $block != $next;
				print substr($buf, 4);
				my $last = length($buf) < 4 + 1428;
				send($s, pack("nn", 4, $next), 0, $to) if $last || $next % $window == 0;
				exit 0 if $last;
				$next++;
			}' "$1" "$port" "$2" >"$tmp/got" && cmp -s "$tmp/root/image" "$tmp/got"
	}
	unmarked() { within a nft list counter inet look unmarked | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
	for mode in --verbose --single-port; do
		ip route flush cache
		serve windows $mode "$tmp/root"
		check "$mode: a window" fetch a "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428 --windowsize 16
		check "$mode: not a datagram of it may be fragmented" test "$(unmarked)" -eq 0
		check "$mode: a router with a smaller MTU meets a window" \
			fetch c "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428 --windowsize 16
		sleep 1.1
		check "$mode: what it told" fetch c "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1428
		check "$mode: is heeded the next time" eventually grep -q 'peer=10\.3\.0\.2:.*blksize:968' "$log"
		stop $pid
		ip route flush cache
		within a nft add rule inet look out icmp type destination-unreachable drop
		serve hole $mode "$tmp/root"
		case $mode in
		--single-port) check "$mode: a router that says nothing" insistent 10.1.0.1 16 ;;
		*) check "a router that says nothing, in lockstep" insistent 10.1.0.1 1 ;;
		esac
		stop $pid
		within a nft flush chain inet look out
		within a nft reset counter inet look unmarked >/dev/null
	done
else
	skip "windows and routers: $(head -1 "$tmp/nft.err" 2>/dev/null)"
fi

# One client behind a small MTU slows down no other one on the same socket.
ip route add 10.1.0.2/32 dev s0 mtu 600
serve shared --single-port --blocksize max "$tmp/root"
check "a path with a small MTU works on the single port" \
	fetch a "tftp://10.1.0.1:$port/image" "$tmp/root/image" --blksize 1400 --windowsize 16
check "and the others as before" fetch b "tftp://10.2.0.1:$port/image" "$tmp/root/image" --blksize 1300 --windowsize 16
stop $pid

# Nobody listens at a client's port any more: ICMP says so, and that ends its transfer and no other one.
bytes 30000000 "$tmp/root/large"
within a sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit' # or only the first few would be told
serve icmp --single-port --rate-per-client 20M --verbose "$tmp/root"
timeout 60 ip netns exec b "$tftp" get "tftp://10.2.0.1:$port/large" "$tmp/got" 2>/dev/null &
other=$!
within a perl -MSocket -e '
	for (1 .. 20) {
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die;
		send($s, "\0\1image\0octet\0blksize\0001000\0", 0, pack_sockaddr_in($ARGV[0], inet_aton("10.1.0.1"))) or die $!;
		recv($s, my $buf, 2000, 0);
		send($s, "\0\4\0\0", 0, pack_sockaddr_in($ARGV[0], inet_aton("10.1.0.1")));
		close $s;
	}' "$port"
gone() { [ "$(log_lines 'reason="the other end is not there"')" -eq 20 ]; }
check "ICMP ends twenty transfers at once" eventually gone
wait $other
check "and not the one of another client on the same socket" cmp -s "$tmp/root/large" "$tmp/got"
stop $pid
exit $failed
