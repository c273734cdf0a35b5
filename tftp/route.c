/* The way to a server: a socket that is connected there and sends nothing. */
#include "route.h"

#include "options.h"
#include "packet.h"

#include <errno.h>
#include <unistd.h>

/* What no later try within a transfer's patience changes: the address, our own addresses, the routes. */
static bool is_final(int err)
{
	return err == EINVAL || err == EACCES || err == EAFNOSUPPORT || err == EADDRNOTAVAIL || err == ENETUNREACH ||
	    err == EHOSTUNREACH || err == ENETDOWN;
}

int route_look(const struct addr *to, const struct addr *from, uint32_t *blksize)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), headers = v6 ? 52 : 32, mtu = 0, err = 0;
	socklen_t len = sizeof(mtu);

	*blksize = 1432;
	if (fd < 0)
		return is_final(errno) ? -errno : 0;
	/* An address that is not ours is told where the transfer's own socket is opened. */
	if (from->sa.sa_family != AF_UNSPEC && bind(fd, &from->sa, addr_len(from)) != 0)
		err = 0;
	else if (connect(fd, &to->sa, addr_len(to)) != 0)
		err = is_final(errno) ? -errno : 0;
	else if (getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) == 0)
		*blksize = mtu < headers + (int)PACKET_BLKSIZE ? PACKET_BLKSIZE : (uint32_t)(mtu - headers);
	close(fd);
	if (*blksize > BLKSIZE_MAX)
		*blksize = BLKSIZE_MAX;
	return err;
}

const char *route_hint(const struct addr *to, bool bound, int err)
{
	bool v6 = to->sa.sa_family == AF_INET6;

	if (err == ECONNREFUSED)
		return "is it running, and on this port?";
	if (err == EINVAL && v6 && to->v6.sin6_scope_id == 0 &&
	    (IN6_IS_ADDR_LINKLOCAL(&to->v6.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&to->v6.sin6_addr)))
		return "link-local addresses need a zone: fe80::1%eth0";
	if (err == EINVAL && bound)
		return "is --bind an address that can be seen from there?";
	if (err == EACCES)
		return "if that is a broadcast address, give the server's own; or a route prohibits it";
	if (err == EAFNOSUPPORT || err == EADDRNOTAVAIL)
		return v6 ? "this machine has no IPv6 address for that, try -4" :
		    "this machine has no IPv4 address for that, try -6";
	return "is the network up, and is there a route to it?";
}
