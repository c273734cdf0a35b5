/*
 * One socket address type for both families: compare, hash, print, parse. Makes no system call but getaddrinfo's.
 */
#ifndef ADDR_H
#define ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

#define ADDR_TEXT 64 /* room for any address as text, "[v6%scope]:port", NUL included */

/* The bytes that bind() and sendmsg() want for this family. */
socklen_t addr_len(const struct addr *a);

uint16_t addr_port(const struct addr *a); /* host order */
void addr_set_port(struct addr *a, uint16_t port);

bool addr_equal(const struct addr *a, const struct addr *b);      /* host and port */
bool addr_same_host(const struct addr *a, const struct addr *b);  /* host only */
bool addr_is_wildcard(const struct addr *a);
bool addr_is_multicast(const struct addr *a);

/* Turn an IPv4 address in IPv6 clothes (::ffff:192.0.2.1) into IPv4; anything else stays. */
void addr_unmap(struct addr *a);
void addr_map(struct addr *a); /* and back */

/* Whether the host is in the network of the first `bits` bits of `net`. Mapped IPv4 counts as IPv4. */
bool addr_in_network(const struct addr *a, const struct addr *net, unsigned bits);

/* "192.0.2.0/24", "2001:db8::/32", or a host: its network is all its bits. 0, or -1 where `text` is neither. */
int addr_parse_network(const char *text, struct addr *net, unsigned *bits);

/* A hash of host and port, keyed so that a peer cannot choose its bucket. */
uint64_t addr_hash(const struct addr *a, uint64_t seed);

/* "192.0.2.1:69" or "[2001:db8::1]:69", in buf, which it returns. addr_host leaves out port and brackets. */
const char *addr_print(const struct addr *a, char buf[ADDR_TEXT]);
const char *addr_host(const struct addr *a, char buf[ADDR_TEXT]);

/*
 * Split "host", "host:port", ":port", "[v6]", "[v6]:port" or a bare v6 address. *host and *port point into `text`,
 * which is changed; an absent part is NULL. Returns 0, or -1 when brackets do not match or a part is empty.
 */
int addr_split(char *text, char **host, char **port);

/*
 * Resolve. `host` NULL means every address (wildcard), `port` NULL means `default_port`; family AF_UNSPEC, AF_INET or
 * AF_INET6. Fills up to `max` addresses and returns how many, or a negative EAI_ code for gai_strerror().
 */
int addr_resolve(const char *host, const char *port, uint16_t default_port, int family, struct addr *out, int max);

#endif
