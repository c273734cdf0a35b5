/* One rtnetlink dump, looked through for one address. */
#include "neighbour.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * From linux/netlink.h, rtnetlink.h and neighbour.h, which not every libc's headers can reach. The layouts and numbers
 * are ABI.
 */
#define NETLINK_ROUTE 0
#define RTM_NEWNEIGH 28
#define RTM_GETNEIGH 30
#define NLM_F_REQUEST 0x01
#define NLM_F_DUMP 0x300
#define NDA_DST 1
#define NDA_LLADDR 2

struct message {
	uint32_t len;
	uint16_t type, flags;
	uint32_t seq, pid;
};

struct neighbour {
	uint8_t family, pad1;
	uint16_t pad2;
	int32_t ifindex;
	uint16_t state;
	uint8_t flags, type;
};

struct attribute {
	uint16_t len, type;
};

/* Everything in a netlink datagram begins at a multiple of four. */
static size_t aligned(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* The attributes of one neighbour: its hardware address if it is the one we look for, else NULL. */
static const uint8_t *match(const uint8_t *attributes, size_t len, const uint8_t *ip, size_t ip_len)
{
	const uint8_t *mac = NULL;
	bool found = false;
	struct attribute a;

	for (size_t at = 0; at + sizeof(a) <= len; at += aligned(a.len)) {
		const uint8_t *value = attributes + at + sizeof(a);

		memcpy(&a, attributes + at, sizeof(a));
		if (a.len < sizeof(a) || a.len > len - at)
			break;
		if (a.type == NDA_DST && a.len == sizeof(a) + ip_len)
			found = memcmp(value, ip, ip_len) == 0;
		else if (a.type == NDA_LLADDR && a.len == sizeof(a) + 6)
			mac = value;
	}
	return found ? mac : NULL;
}

/* Look through one datagram of neighbours. True: there is more to come. */
static bool look(const uint8_t *buf, size_t len, const uint8_t *ip, size_t ip_len, char out[18])
{
	const size_t head = sizeof(struct message) + sizeof(struct neighbour);
	struct message m;

	for (size_t at = 0; at + sizeof(m) <= len; at += aligned(m.len)) {
		const uint8_t *mac;

		memcpy(&m, buf + at, sizeof(m));
		if (m.type != RTM_NEWNEIGH || m.len < head || m.len > len - at)
			return false;
		mac = match(buf + at + head, m.len - head, ip, ip_len);
		if (mac == NULL)
			continue;
		snprintf(out, 18, "%02x-%02x-%02x-%02x-%02x-%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
		return false;
	}
	return true;
}

void neighbour_mac(const uint8_t *ip, size_t ip_len, char out[18])
{
	struct {
		struct message m;
		struct neighbour n;
	} ask = {
		.m = {.len = sizeof(ask), .type = RTM_GETNEIGH, .flags = NLM_F_REQUEST | NLM_F_DUMP},
		.n = {.family = ip_len == 4 ? AF_INET : AF_INET6},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	uint8_t buf[16384];
	ssize_t got;

	out[0] = '\0';
	if (fd < 0)
		return;
	if (send(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask))
		while ((got = recv(fd, buf, sizeof(buf), 0)) > 0 && look(buf, (size_t)got, ip, ip_len, out))
			;
	close(fd);
}
