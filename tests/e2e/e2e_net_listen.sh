#!/bin/sh
# What is listened on: addresses of every form, some of which are not there (yet), and sockets that others opened.
# shellcheck source-path=SCRIPTDIR source=lib.sh source=net.sh
. "$(dirname "$0")/net.sh"
. "$(dirname "$0")/lib.sh"

net_ns a
net_link - s0 10.1.0.1/24,fd01::1/64 a a0 10.1.0.2/24,fd01::2/64
net_link - s1 10.2.0.1/24 a a1 10.2.0.2/24
mkdir "$tmp/root"
bytes 5000 "$tmp/root/file"
echo '10.1.0.1 this-server.example' >>"$tmp/hosts"
echo 'fd01::1 this-server.example' >>"$tmp/hosts"
mount --bind "$tmp/hosts" /etc/hosts 2>/dev/null

# serves WHAT HOST [PORT]: the file comes from there.
serves() {
	check "$1" fetch a "tftp://$2:${3:-$port}/file" "$tmp/root/file"
}
# silent WHAT HOST
silent() {
	if timeout 1 ip netns exec a "$tftp" get "tftp://$2:$port/file" "$tmp/never" 2>/dev/null; then
		not_ok "$1"
	else
		ok "$1"
	fi
}
# refuses STATUS WORD WHAT OPTIONS...: it does not start, and says why.
refuses() {
	status=$1 word=$2 what=$3
	shift 3
	timeout 60 "$tftpd" "$@" "$tmp/root" 2>"$tmp/said"
	got=$?
	check "$what is exit status $status (it was $got: $(cat "$tmp/said"))" test $got -eq "$status"
	check "$what is said" grep -qF -- "$word" "$tmp/said"
}
# listen NAME OPTIONS...: like serve, but the options name the port.
listen() {
	server=$1
	shift
	log=$tmp/$server.log
	# Another server may have the port already: only its own log tells that this one is up.
	start "$server" "$tftpd" "$@" "$tmp/root" && eventually test -s "$log" || not_ok "the server starts: $(cat "$log")"
}

free_port
listen one --address "10.1.0.1:$port"
serves "one address" 10.1.0.1
silent "and no other one" 10.2.0.1
stop $pid
listen several --address "10.1.0.1:$port" --address "[fd01::1]:$port" --address 10.2.0.1 --port "$port"
serves "several addresses" 10.1.0.1
serves "IPv6 in brackets" "[fd01::1]"
serves "one without a port has that of --port" 10.2.0.1
stop $pid
listen port --address ":$port"
serves "a port alone is every address" 10.2.0.1
serves "of both families" "[fd01::1]"
stop $pid
listen host --address "this-server.example:$port"
serves "a host name" 10.1.0.1
serves "all its addresses" "[fd01::1]"
silent "only its addresses" 10.2.0.1
stop $pid
port=69
if ! taken 69; then
	listen service --address 10.1.0.1:tftp
	serves "a service name as port" 10.1.0.1 69
	stop $pid
fi
free_port

listen interface --address "s0:$port"
serves "an interface name" 10.1.0.1
serves "with its IPv6" "[fd01::1]"
silent "and no other interface" 10.2.0.1
ip addr add 10.1.0.77/24 dev s0
serves "also an address it got later" 10.1.0.77
stop $pid
listen only --interface s1 --port "$port"
serves "--interface" 10.2.0.1
silent "--interface shuts out the others" 10.1.0.1
check "no example is given that would not work" sh -c "! grep -q 'fetch with' '$log'"
stop $pid

listen mixed --address "s0:$port" --address "10.2.0.1:$port"
serves "an interface" 10.1.0.1
serves "beside an address of another one" 10.2.0.1
stop $pid

# An interface that is removed and made anew, as ifdown and ifup do, has its name and none of the sockets.
make_s8() {
	s8=${1:-s8}
	ip link add "$s8" type veth peer name a8
	ip link set a8 netns a
	ip addr add 10.8.0.1/24 dev "$s8"
	ip -6 addr add fe80::8/64 dev "$s8" nodad
	ip link set "$s8" up
	ip -n a addr add 10.8.0.2/24 dev a8
	ip -n a link set a8 up
}
make_s8
listen anew --interface s8 --port "$port"
serves "an interface alone" 10.8.0.1
ip link del s8
make_s8
check "one that was made anew is listened on" eventually grep -q 's8 was made anew: listening on it .* again' "$log"
serves "and served again" 10.8.0.1
stop $pid
listen anew2 --address "s8:$port" --address "10.2.0.1:$port" --single-port
serves "an interface on a single port" 10.8.0.1
ip link del s8
make_s8
check "beside another address too" eventually grep -q 's8 was made anew: listening on it .* again' "$log"
serves "it is served again" 10.8.0.1
serves "and the other one still is" 10.2.0.1
stop $pid
listen anew3 --interface s8 --address "[fe80::8%s8]:$port"
ip link del s8
make_s8
check "an address that belongs to a link goes to the new one" \
	eventually grep -q 's8 was made anew: listening on it at .*fe80::8' "$log"
stop $pid
ip link del s8
# The new one may be in somebody else's hands for a while, as when another daemon is just leaving.
make_s8
listen kept --interface s8 --port "$port" --ipv4
kept=$pid kept_log=$log
serves "an interface that will be taken" 10.8.0.1
ip link del s8
make_s8 new8
listen taker --interface new8 --port "$port" --ipv4
ip link set new8 down
ip link set new8 name s8
ip link set s8 up
log=$kept_log
check "that somebody else has the port there is said" \
	eventually grep -q 's8 was made anew: cannot listen on .*another program.*trying again' "$log"
sleep 0.5
check "and is no reason to end, though nothing else is heard" ours $kept
stop $pid
check "what was in use is listened on once it is free" eventually grep -q 's8 was made anew: listening on it .* again' "$log"
serves "and served" 10.8.0.1
check "each was said once" test "$(log_lines 'trying again') $(log_lines 'was made anew: listening')" = "1 1"
stop $kept
ip link del s8

# One family, and further names of options.
listen v4only --ipv4 --service "$port"
serves "--ipv4 --service" 10.1.0.1
silent "is IPv4 only" "[fd01::1]"
stop $pid
listen v6only -6 -S "$port" --ports 30000:30003
serves "-6 -S" "[fd01::1]"
silent "is IPv6 only" 10.1.0.1
stop $pid
# tftp-hpa's way would be into the background; rules that need more than one step are shown by verbosity
printf 'r ^first$ second\nr ^second$ file\n' >"$tmp/rules"
listen here --listen --systemd --stderr --chroot --verbosity 3 --map-file "$tmp/rules" --address "10.1.0.1:$port" --user "$(id -un)"
check "--listen --systemd stays in the foreground" ours $pid
check "--map-file behind --chroot" fetch a "tftp://10.1.0.1:$port/first" "$tmp/root/file"
check "--verbosity 3 tells each rule" test "$(log_lines 'name step=')" -ge 2
stop $pid
listen there --foreground --secure --map-steps 1 --map-file "$tmp/rules" --address "10.1.0.1:$port" --user "$(id -un)"
if fetch a "tftp://10.1.0.1:$port/first" "$tmp/root/file"; then
	not_ok "--map-steps 1 is one rule and no more"
else
	ok "--map-steps 1 is one rule and no more"
fi
stop $pid

# Not there yet: the server starts, says so once, and serves it when it comes.
listen later --address "10.1.0.50:$port" --address "[fd01::50]:$port" --address "10.1.0.1:$port"
serves "an address that is there while another is not" 10.1.0.1
ip addr add 10.1.0.50/24 dev s0
ip addr add fd01::50/64 dev s0 nodad
serves "an address that came later" 10.1.0.50
serves "an IPv6 address that came later" "[fd01::50]"
check "the missing ones were named, once each" test "$(log_lines 'no address of this machine yet')" -eq 2
stop $pid
listen alone --address "10.1.0.60:$port"
ip addr add 10.1.0.60/24 dev s0
serves "also where it is the only one" 10.1.0.60
stop $pid
# Taken by somebody else: the others are served, and it too when it is free again.
listen holder --address "10.2.0.1:$port"
holder=$pid
listen beside --address "10.1.0.1:$port" --address "10.2.0.1:$port"
eventually grep -q 'trying again' "$log"
serves "the others are served while one is taken" 10.1.0.1
check "and it is said" eventually grep -q '10\.2\.0\.1:.*another program' "$log"
refuses 71 "another program" "nothing at all to listen on" --address "10.2.0.1:$port"
stop $holder
check "what was taken is tried again" eventually grep -q 'listening on "10.2.0.1' "$log"
serves "and served" 10.2.0.1
wake_ups() { sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "/proc/$pid/status"; }
sleep 2.5
woken=$(wake_ups)
sleep 2.5
check "a server that waits for nothing more is not woken" test "$(wake_ups)" = "$woken"
stop $pid

# One family missing.
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
listen v4 --port "$port"
serves "without IPv6 the other family is served" 10.1.0.1
stop $pid
echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
ip addr add fd01::1/64 dev s0 nodad

listen name --address "no-such-host.invalid:$port" --address "10.1.0.1:$port"
serves "a name that cannot be looked up keeps no other address away" 10.1.0.1
check "and is tried again" eventually grep -q '"no-such-host.invalid:.*trying again' "$log"
check "it might have been an interface" grep -q 'no-such-host.invalid:.*there is no such .*interface' "$log"
stop $pid
refuses 64 "10.1.0.1:" "an address without its port" --address 10.1.0.1:
refuses 71 "there is no such port or service" "a port that is none" --address 10.1.0.1:70000

# What comes later must be served also by a server that was root when it started, and can then neither open a port below
# 1024 nor read what names are looked up in: an interface, a name, everything on an interface.
status_field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
is_nobody() { [ "$(status_field Uid | cut -f 2)" = 65534 ]; }
has_no_right() { [ "$(status_field CapPrm)$(status_field CapEff)" = 00000000000000000000000000000000 ]; }
# alone NAME OPTIONS...: where there is nothing to listen on yet
alone() {
	server=$1
	shift
	log=$tmp/$server.log
	"$tftpd" "$@" "$tmp/root" >"$log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
	eventually grep -q 'on nothing yet' "$log"
}
dropped() {
	check "$1: it is somebody else" eventually is_nobody
	check "$1: no right is left to it" eventually has_no_right
}
comes() {
	ip link add s9 type veth peer name a9
	ip link set a9 netns a
	ip addr add 10.9.0.1/24 dev s9
	ip link set s9 up
	ip -n a addr add 10.9.0.2/24 dev a9
	ip -n a link set a9 up
}
processes() { [ "$(pgrep -f -c "^$tftpd .*$tmp/root")" -eq "$1" ]; }
if [ "$(id -u)" -eq 0 ] && [ "$(awk 'NR == 1 { print $3 }' /proc/self/uid_map)" -gt 65534 ] && ! taken 69; then
	nobody=$(id -nu 65534)
	port=69
	listen later69 --user "$nobody" --address 10.1.0.1 --address s9 --address comes-later.example --address 10.1.0.51
	dropped "beside others"
	serves "what is there is served" 10.1.0.1
	named() { [ "$(log_lines 'trying again')" -eq "$1" ]; }
	check "what is missing was named" eventually named 2
	sleep 2
	comes
	echo '10.2.0.1 comes-later.example' >>/etc/hosts
	ip addr add 10.1.0.51/24 dev s0
	serves "an address that came later, below 1024" 10.1.0.51
	check "an interface that came later" eventually grep -q 'listening on "s9" now' "$log"
	serves "is served, below 1024" 10.9.0.1
	check "a name that came later" eventually grep -q 'listening on "comes-later.example" now' "$log"
	serves "is served too" 10.2.0.1
	check "the helper is gone with its work" eventually processes 1
	dropped "then"
	stop $pid
	listen low69 --user "$nobody" --port-range 900:901
	check "transfers on ports below 1024: it is somebody else" eventually is_nobody
	serves "and binds them" 10.1.0.1
	check "with the one right for that" test "$(status_field CapPrm)" = 0000000000000400
	stop $pid
	ip link del s9
	alone alone69 --user "$nobody" --interface s9 --single-port --secure
	dropped "alone"
	comes
	check "an interface for everything" eventually grep -q 'listening on "s9" now' "$log"
	serves "is served as well" 10.9.0.1
	stop $pid
	make_s8
	listen deaf69 --user "$nobody" --interface s8
	dropped "on an interface"
	ip link del s8
	make_s8
	ended() { ! ours $pid; }
	eventually ended
	stop $pid
	# 71, but for a leak checker, which cannot look around in there.
	check "what cannot be listened on again ends the server" test $? != 0
	check "with words" grep -q 's8 was made anew, and cannot be listened on .*Permission denied (.*root.*); start the server again' "$log"
	ip link del s8
	listen gone69 --user "$nobody" --address 10.1.0.1 --address never-comes
	check "there are two processes" eventually processes 2
	stop $pid
	check "the helper ends with the server" eventually processes 0
	listen killed69 --user "$nobody" --address 10.1.0.1 --address never-comes
	kill -KILL $pid
	wait $pid 2>/dev/null
	check "however that ends" eventually processes 0
	free_port
else
	skip "what comes later, as root: not root here, or port 69 is taken"
fi

# Sockets that inetd or systemd opened: descriptor 0, or 3 and more with LISTEN_FDS.
opener='
	use Socket qw(:all);
	my ($how, $port, @command) = @ARGV;
	my $six = $how =~ /dual/;
	$^F = 10; # descriptors above it do not outlive the exec
	socket(my $s, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die;
	setsockopt($s, IPPROTO_IPV6, 26, pack("i", 0)) if $six;
	bind($s, $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, "::")) : pack_sockaddr_in($port, INADDR_ANY)) or die $!;
	require POSIX;
	POSIX::dup2(fileno $s, $how =~ /stdin/ ? 0 : 3);
	if ($how !~ /stdin/) {
		$ENV{LISTEN_FDS} = 1;
		$ENV{LISTEN_PID} = $how =~ /other/ ? 1 : $$;
	}
	exec @command or die $!;'
inherit() {
	how=$1
	shift
	log=$tmp/inherit.log
	: >"$log"
	perl -e "$opener" "$how" "$port" "$tftpd" --user "$whoami" "$@" "$tmp/root" >"$log" 2>&1 </dev/null &
	pid=$!
	pids="$pids $pid"
	eventually test -s "$log"
}
for how in stdin fds stdin-dual fds-dual; do
	for mode in --port=6 --single-port; do
		inherit $how $mode
		serves "an inherited socket ($how $mode)" 10.1.0.1
		case $how in *dual) serves "its IPv6 ($how $mode)" "[fd01::1]" ;; esac
		case $how in *dual) check "and IPv4 is logged as such" eventually grep -q 'peer=10\.1\.0\.2:' "$log" ;; esac
		stop $pid
	done
done
inherit fds-other --port "$port"
check "LISTEN_FDS of another process is not ours" eventually grep -q 'cannot listen\|going on without' "$log"
stop $pid
exit $failed
