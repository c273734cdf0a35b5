#!/bin/sh
# Through a real NAT that knows nothing of TFTP (nftables masquerade, no helper): with ports of their own transfers fail,
# with --single-port they work. And through the other kind, a published port, as containers have it.
# shellcheck source-path=SCRIPTDIR source=lib.sh source=net.sh
. "$(dirname "$0")/net.sh"
. "$(dirname "$0")/lib.sh"
command -v nft >/dev/null || net_skip "there is no nft here"

# us 10.1.0.1 -- 10.1.0.2 router 192.168.5.1 -- 192.168.5.2 client
net_ns router client
net_link - s0 10.1.0.1/24,fd01::1/64 router n0 10.1.0.2/24,fd01::2/64
net_link router n1 192.168.5.1/24,fd05::1/64 client c0 192.168.5.2/24,fd05::2/64
within client ip route add default via 192.168.5.1
within client ip -6 route add default via fd05::1
within router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
within router nft -f - 2>"$tmp/nft.err" <<'EOF' || net_skip "no masquerading here: $(head -1 "$tmp/nft.err")"
table inet nat {
	chain post {
		type nat hook postrouting priority srcnat
		oifname "n0" masquerade
	}
	chain pre {
		type nat hook prerouting priority dstnat
		iifname "n1" ip daddr 192.168.5.1 udp dport 69 dnat ip to 10.1.0.1:6900
	}
}
EOF

mkdir "$tmp/root"
bytes 3000000 "$tmp/root/image"
bytes 100 "$tmp/root/small"
chmod 777 "$tmp/root"

serve normal --create "$tmp/root"
if timeout 3 ip netns exec client "$tftp" get "tftp://10.1.0.1:$port/small" "$tmp/never" 2>/dev/null; then
	not_ok "a port of its own does not pass a NAT"
else
	ok "a port of its own does not pass a NAT"
fi
stop $pid

serve single --single-port --create "$tmp/root"
for host in 10.1.0.1 "[fd01::1]"; do
	url=tftp://$host:$port
	check "a read passes the NAT, $host" fetch client "$url/image" "$tmp/root/image"
	check "a read in lockstep passes, $host" fetch client "$url/image" "$tmp/root/image" --blksize 1428 --windowsize 1
	check "a read without options passes, $host" fetch client "$url/small" "$tmp/root/small" --blksize 512 --windowsize 1
	check "a write passes the NAT, $host" store client "$tmp/root/image" "$url/up" "$tmp/root/up"
	check "a write in lockstep passes, $host" store client "$tmp/root/image" "$url/up1" "$tmp/root/up1" --blksize 1024 --windowsize 1
done
check "the server saw the router's address" eventually grep -q 'peer=10\.1\.0\.2:' "$log"
check "the server saw the router's IPv6 address" eventually grep -q 'peer=\[fd01::2\]:' "$log"
# A machine that stops for two seconds costs some windows; what each answer would cost twice is another order.
most() { awk '/ resent=/ {
		for (i = 1; i <= NF; i++) if (split($i, v, "=") == 2) f[v[1]] = v[2]
		size = match($0, /blksize:[0-9]+/) ? substr($0, RSTART + 8, RLENGTH - 8) : 512
		resent += f["resent"]
		blocks += f["bytes"] / size
	} END { printf "%d of %d\n", resent, blocks; exit !(blocks > 10000 && resent * 5 < blocks) }' "$log"; }
resent=$(most)
check "few blocks were sent twice ($resent)" test $? = 0
stop $pid

port=6900
if ! taken 6900; then
	start published "$tftpd" --single-port --port 6900 "$tmp/root" || not_ok "the server starts: $(cat "$tmp/published.log")"
	check "a read from a published port" fetch client tftp://192.168.5.1:69/image "$tmp/root/image"
	stop $pid
fi
exit $failed
