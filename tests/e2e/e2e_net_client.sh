#!/bin/sh
# What our client does where the kernel sends nothing: it says so at once, with status 7, and what to try.
# shellcheck source-path=SCRIPTDIR source=lib.sh source=net.sh
. "$(dirname "$0")/net.sh"
. "$(dirname "$0")/lib.sh"

net_ns far
net_link - c0 10.9.0.1/24,10.9.0.9/32,fd09::1/64 far f0 10.9.0.2/24,fd09::2/64
ip route add blackhole 10.10.0.0/24
ip route add prohibit 10.11.0.0/24
ip route add unreachable 10.12.0.0/24
mkdir "$tmp/root"
bytes 3000 "$tmp/root/file"
serve here --create "$tmp/root"

# tells NAME TEXT ARGUMENTS...: a get with status 7 and one line, which holds TEXT. A request that is lost takes seconds,
# and ends with status 28.
tells() {
	name=$1 text=$2
	shift 2
	timeout 60 "$tftp" get "$@" "$tmp/never" 2>"$tmp/err"
	status=$?
	if [ $status = 7 ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -qF -- "$text" "$tmp/err"; then
		ok "$name"
	else
		not_ok "$name: status $status, $(cat "$tmp/err")"
	fi
}
# fetched ARGUMENTS...: a get of the file succeeds
fetched() {
	rm -f "$tmp/got"
	timeout 60 "$tftp" get "$@" "$tmp/got" 2>"$tmp/err" && cmp -s "$tmp/root/file" "$tmp/got"
}

tells "a link-local address without a zone" "need a zone" 'tftp://[fe80::1]/file'
tells "a broadcast address" "broadcast address" tftp://10.9.0.255/file
tells "a route that prohibits it" "a route prohibits it" tftp://10.11.0.1/file
tells "a route that says it cannot be reached" "is there a route to it?" tftp://10.12.0.1/file
tells "a route into nothing" "is there a route to it?" tftp://10.10.0.1/file
tells "no route" "is the network up" tftp://10.13.0.1/file
tells "no route for IPv6" "is the network up" 'tftp://[2001:db8::1]/file'
tells "an address of our own from which nothing goes there" "is --bind" --bind 127.0.0.1 tftp://10.9.0.2/file
tells "one that is not ours" "check --bind" --bind 10.9.0.77 tftp://10.9.0.2/file
timeout 60 "$tftp" doctor fe80::1 >"$tmp/out"
check "the doctor says it as well (exit status $?)" grep -q '^  do: .* need a zone' "$tmp/out"
echo data >"$tmp/up"
timeout 60 "$tftp" put "$tmp/up" tftp://10.9.0.255/file 2>"$tmp/err"
check "uploads as well" test $? = 7
echo data | timeout 60 "$tftp" put - "tftp://10.9.0.255,10.9.0.1:$port/piped"
check "another server gets all that a pipe gave (exit status $?)" grep -qx data "$tmp/root/piped"
check "another server in the list is asked" fetched "tftp://10.9.0.255,10.9.0.1:$port/file"

# The C library puts addresses last that cannot be reached, but knows nothing of --bind.
printf '10.9.0.2 two.example\n10.9.0.1 two.example\n' >"$tmp/hosts"
ip rule del pref 0
ip rule add pref 10 from all lookup local
ip rule add pref 5 from 10.9.0.9 to 10.9.0.2 blackhole
if mount --bind "$tmp/hosts" /etc/hosts && ip route get 10.9.0.1 >/dev/null; then
	tells "an address without a way" "cannot reach" --bind 10.9.0.9 "tftp://10.9.0.2:$port/file"
	check "another address of the server is asked" fetched --bind 10.9.0.9 "tftp://two.example:$port/file"
	check "if there is one" eventually grep -q 'peer=10\.9\.0\.9:' "$log"
	umount /etc/hosts
else
	skip "a server with two addresses: it cannot be made here"
fi

# A firewall's refusal may pass, as a full queue does: the request is repeated.
if command -v nft >/dev/null && nft add table inet closed 2>/dev/null &&
    nft 'add chain inet closed out { type filter hook output priority 0; }' &&
    nft add rule inet closed out udp dport "$port" drop; then
	(
		sleep 0.5
		nft delete table inet closed
	) &
	pids="$pids $!"
	check "what a firewall refuses is tried again" fetched "tftp://10.9.0.1:$port/file"
else
	skip "a firewall: there is none to be had here"
fi
exit $failed
