/* Socket addresses of both families behind one type. */
#include "addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

socklen_t addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

uint16_t addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

bool addr_same_host(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	case AF_INET6:
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0 &&
		    a->v6.sin6_scope_id == b->v6.sin6_scope_id;
	}
	return true;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_same_host(a, b) && (a->sa.sa_family == AF_UNSPEC || addr_port(a) == addr_port(b));
}

bool addr_is_wildcard(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
	return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool addr_is_multicast(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr);
	return IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr));
}

void addr_unmap(struct addr *a)
{
	struct in_addr v4;
	in_port_t port = a->v6.sin6_port;

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return;
	memcpy(&v4, &a->v6.sin6_addr.s6_addr[12], sizeof(v4));
	memset(a, 0, sizeof(*a));
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = port;
	a->v4.sin_addr = v4;
}

void addr_map(struct addr *a)
{
	struct in_addr v4 = a->v4.sin_addr;
	in_port_t port = a->v4.sin_port;

	if (a->sa.sa_family != AF_INET)
		return;
	memset(a, 0, sizeof(*a));
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = port;
	a->v6.sin6_addr.s6_addr[10] = a->v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&a->v6.sin6_addr.s6_addr[12], &v4, sizeof(v4));
}

static const uint8_t *host_bytes(const struct addr *a, unsigned *bits)
{
	bool v6 = a->sa.sa_family == AF_INET6;

	*bits = v6 ? 128 : 32;
	return v6 ? a->v6.sin6_addr.s6_addr : (const uint8_t *)&a->v4.sin_addr;
}

bool addr_in_network(const struct addr *a, const struct addr *net, unsigned bits)
{
	struct addr host = *a;
	const uint8_t *x, *y;
	unsigned all;

	addr_unmap(&host);
	if (host.sa.sa_family != net->sa.sa_family)
		return false;
	x = host_bytes(&host, &all);
	y = host_bytes(net, &all);
	if (bits > all || memcmp(x, y, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (x[bits / 8] ^ y[bits / 8]) >> (8 - bits % 8) == 0;
}

int addr_parse_network(const char *text, struct addr *net, unsigned *bits)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN], *end;
	unsigned long n;

	memset(net, 0, sizeof(*net));
	*bits = 0;
	if (len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &net->v4.sin_addr) == 1)
		net->sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &net->v6.sin6_addr) == 1)
		net->sa.sa_family = AF_INET6;
	else
		return -1;
	host_bytes(net, bits);
	if (slash == NULL)
		return 0;
	n = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || n > *bits)
		return -1;
	*bits = (unsigned)n;
	return 0;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

uint64_t addr_hash(const struct addr *a, uint64_t seed)
{
	uint64_t h = mix(seed, addr_port(a)), words[2];

	if (a->sa.sa_family != AF_INET6)
		return mix(mix(h, a->v4.sin_addr.s_addr), seed);
	memcpy(words, &a->v6.sin6_addr, sizeof(words));
	return mix(mix(mix(h, words[0]), words[1]), seed);
}

const char *addr_host(const struct addr *a, char buf[ADDR_TEXT])
{
	char scope[IF_NAMESIZE];
	size_t len;

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->v4.sin_addr, buf, ADDR_TEXT);
		return buf;
	}
	if (a->sa.sa_family != AF_INET6) {
		snprintf(buf, ADDR_TEXT, "?");
		return buf;
	}
	inet_ntop(AF_INET6, &a->v6.sin6_addr, buf, ADDR_TEXT);
	len = strlen(buf);
	if (a->v6.sin6_scope_id == 0)
		return buf;
	if (if_indextoname(a->v6.sin6_scope_id, scope) != NULL)
		snprintf(buf + len, ADDR_TEXT - len, "%%%s", scope);
	else
		snprintf(buf + len, ADDR_TEXT - len, "%%%u", a->v6.sin6_scope_id);
	return buf;
}

const char *addr_print(const struct addr *a, char buf[ADDR_TEXT])
{
	char host[ADDR_TEXT];

	addr_host(a, host);
	/* The longest address with its scope takes 63 bytes less the brackets and the port. */
	snprintf(buf, ADDR_TEXT, a->sa.sa_family == AF_INET6 ? "[%.55s]:%u" : "%.56s:%u", host, addr_port(a));
	return buf;
}

int addr_split(char *text, char **host, char **port)
{
	char *colon;

	*host = *port = NULL;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (end == NULL || end == text + 1 || (end[1] != '\0' && end[1] != ':') || (end[1] == ':' && end[2] == '\0'))
			return -1;
		*host = text + 1;
		if (end[1] == ':')
			*port = end + 2;
		*end = '\0';
		return 0;
	}
	if (strchr(text, ']') != NULL)
		return -1;
	colon = strchr(text, ':');
	if (colon == NULL || strchr(colon + 1, ':') != NULL) {
		/* No colon, or an IPv6 address without brackets: it has no port. */
		*host = text;
		return *text == '\0' ? -1 : 0;
	}
	if (colon[1] == '\0')
		return -1;
	*port = colon + 1;
	if (colon != text)
		*host = text;
	*colon = '\0';
	return 0;
}

/* getaddrinfo takes any number, signs included, and keeps its low 16 bits. */
static bool bad_port(const char *port)
{
	char *end;
	long n = strtol(port, &end, 10);

	return end != port && *end == '\0' && (n < 0 || n > 65535 || *port == '+' || *port == '-');
}

int addr_resolve(const char *host, const char *port, uint16_t default_port, int family, struct addr *out, int max)
{
	struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_DGRAM,
		.ai_protocol = IPPROTO_UDP,
		.ai_flags = host == NULL ? AI_PASSIVE : 0,
	};
	struct addrinfo *list;
	char digits[8];
	int n = 0, err;

	snprintf(digits, sizeof(digits), "%u", default_port);
	if (port != NULL && bad_port(port))
		return EAI_SERVICE;
	err = getaddrinfo(host, port != NULL ? port : digits, &hints, &list);
	if (err != 0)
		return err < 0 ? err : -err;
	for (const struct addrinfo *ai = list; ai != NULL && n < max; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memset(&out[n], 0, sizeof(out[n]));
		memcpy(&out[n].sa, ai->ai_addr, ai->ai_addrlen);
		n++;
	}
	freeaddrinfo(list);
	return n > 0 ? n : EAI_NONAME;
}
