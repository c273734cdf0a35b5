# shellcheck shell=sh disable=SC2034
# Shared by the e2e_net_*.sh scripts, which source it before lib.sh: the script goes on in network and mount namespaces
# of its own, which end with it, whatever it leaves in them. Where that is not permitted it says so and ends.

# net_skip WHY: the whole script is skipped.
net_skip() {
	echo "skip $1"
	exit 0
}

PATH=$PATH:/usr/sbin:/sbin
if [ -z "${NET_INSIDE:-}" ]; then
	for program in unshare ip; do
		command -v $program >/dev/null || net_skip "there is no $program here"
	done
	flags=-mn
	[ "$(id -u)" -eq 0 ] || flags=-rmn
	unshare $flags sh -c 'mount -t tmpfs none /run && ip link set lo up' 2>/dev/null ||
		net_skip "network namespaces are not permitted here"
	NET_INSIDE=1 exec unshare $flags "$0" "$@"
fi
mount -t tmpfs none /run && ip link set lo up || exit 1
# Addresses can be used at once: nobody else has them here.
no_dad='for i in default all; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done 2>/dev/null'
eval "$no_dad"

# net_ns NAME...: further namespaces; `ip netns exec NAME` runs something in them.
net_ns() {
	for ns; do
		ip netns add "$ns" && ip -n "$ns" link set lo up || exit 1
		ip netns exec "$ns" sh -c "$no_dad"
	done
}

# net_link NS IF ADDRESS PEER-NS PEER-IF PEER-ADDRESS: a cable between two namespaces, "-" is our own.
net_link() {
	ip link add "$2" type veth peer name "$5" || exit 1
	net_end "$1" "$2" "$3"
	net_end "$4" "$5" "$6"
}
net_end() {
	[ "$1" = - ] || ip link set "$2" netns "$1" || exit 1
	for address in $(echo "$3" | tr , ' '); do
		net_ip "$1" addr add "$address" dev "$2" $(case $address in *:*) echo nodad ;; esac) || exit 1
	done
	net_ip "$1" link set "$2" up || exit 1
}
net_ip() {
	if [ "$1" = - ]; then
		shift
		ip "$@"
	else
		ip -n "$@"
	fi
}

# within NS COMMAND...
within() {
	ns=$1
	shift
	ip netns exec "$ns" "$@"
}

# serve NAME OPTIONS...: our server here, on a free port; sets $port, $pid and $log.
serve() {
	server=$1
	shift
	log=$tmp/$server.log
	free_port
	start "$server" "$tftpd" --port "$port" "$@" || {
		not_ok "the server starts: $(cat "$log")"
		exit 1
	}
}

# fetch NS URL FILE [OPTIONS...]: our client there, with little patience.
fetch() {
	net_in=$1 net_url=$2 net_file=$3
	shift 3
	rm -f "$tmp/got"
	timeout 60 ip netns exec "$net_in" "$tftp" get "$@" "$net_url" "$tmp/got" 2>"$tmp/said" && cmp -s "$net_file" "$tmp/got"
}

# store NS FILE URL ARRIVED [OPTIONS...]: the other way; ARRIVED is where it must be then.
store() {
	net_in=$1 net_file=$2 net_url=$3 net_arrived=$4
	shift 4
	rm -f "$net_arrived"
	timeout 60 ip netns exec "$net_in" "$tftp" put "$@" "$net_file" "$net_url" 2>"$tmp/said" &&
		cmp -s "$net_file" "$net_arrived"
}
