/* Which addresses to listen on, and what to say when one cannot be had. Not when to try it again: opener. */
#include "listen.h"

#include "opener.h"
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/*
 * Room for requests that arrive together when a rack is switched on, and with --single-port for what all transfers
 * send; the kernel gives what it allows.
 */
#define BUFFER (8 << 20)

/* The first descriptor that systemd passes (sd_listen_fds(3)). */
#define LISTEN_FDS_START 3

/* One --address, taken apart. */
struct wanted {
	int index;                   /* in the configuration */
	const char *given;
	const char *host, *port;     /* NULL: all, the default */
	const char *device;          /* only this interface, or NULL */
};

static void explain(const struct addr *a, const char *device, int err, char error[CONFIG_ERROR_MAX])
{
	char text[ADDR_TEXT];
	unsigned port = addr_port(a);

	addr_print(a, text);
	if (err == -EACCES)
		snprintf(error, CONFIG_ERROR_MAX,
		    "cannot listen on %s: ports below 1024 need root; use another one (--port 6969), run with sudo, or allow it "
		    "once: sudo setcap cap_net_bind_service=+ep tftpd", text);
	else if (err == -EADDRINUSE)
		snprintf(error, CONFIG_ERROR_MAX,
		    "cannot listen on %s: another program does already (find it: ss -lnpu 'sport = :%u')", text, port);
	else if (err == -ENODEV && device != NULL)
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on the interface %s: %s", device, strerror(-err));
	else
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on %s: %s", text, strerror(-err));
}

/* What a machine without IPv6, or with it switched off, answers. */
static bool family_missing(int err)
{
	return err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT;
}

/* Sockets. */

static void prepare(const struct server *s, struct udp *u)
{
	udp_buffers(u, BUFFER);
	udp_count_drops(u);
	/* Uploads come in here as well. */
	if (s->config->single_port && config_uploads(s->config))
		udp_coalesce(u, s->config->without);
}

/* An open socket becomes a listener. On failure it is closed. */
static int add(struct server *s, const char *device)
{
	struct listener *l = &s->listeners[s->nlisteners];
	int err;

	prepare(s, &l->endpoint.udp);
	snprintf(l->device, sizeof(l->device), "%s", device != NULL ? device : "");
	l->ifindex = device != NULL ? if_nametoindex(device) : 0;
	l->deaf = 0;
	err = udp_local(&l->endpoint.udp, &l->addr);
	if (err == 0)
		err = endpoint_add(&l->endpoint, &s->exchange, request_arrived, s);
	if (err != 0) {
		udp_close(&l->endpoint.udp);
		return err;
	}
	s->nlisteners++;
	return 0;
}

/* In the opener's process: the server gets it. It stays open here too, see may_share. */
static int pass_on(struct server *s, int address, const char *device)
{
	struct listener *l = &s->listeners[s->nlisteners];
	int err = udp_local(&l->endpoint.udp, &l->addr);

	udp_buffers(&l->endpoint.udp, BUFFER);
	if (err == 0)
		err = opener_pass(s, l->endpoint.udp.fd, address, device);
	if (err != 0) {
		udp_close(&l->endpoint.udp);
		return err;
	}
	snprintf(l->device, sizeof(l->device), "%s", device != NULL ? device : "");
	s->nlisteners++;
	return 0;
}

/* Nobody else may ever share a port with us, so this holds for a moment. */
static void may_share(struct server *s, bool share)
{
	for (int i = 0; i < s->nlisteners; i++)
		udp_share(&s->listeners[i].endpoint.udp, share);
}

/* An interface is bound by all its addresses: one of them, or of another interface, on the same port is in its way. */
static int open_shared(struct server *s, struct udp *u, const struct wanted *w, const struct addr *a)
{
	int err;

	may_share(s, true);
	err = udp_listen(u, a, w->device, true, s->config->without);
	may_share(s, false);
	if (err == 0)
		udp_share(u, false);
	return err;
}

static int open_one(struct server *s, const struct wanted *w, const struct addr *a)
{
	struct udp *u;
	int err;

	if (s->nlisteners == SERVER_LISTENERS)
		return -ENOBUFS;
	u = &s->listeners[s->nlisteners].endpoint.udp;
	err = udp_listen(u, a, w->device, false, s->config->without);
	if (err == -EADDRINUSE && s->nlisteners > 0)
		err = open_shared(s, u, w, a);
	if (err != 0)
		return err;
	return s->opener_end > 0 ? pass_on(s, w->index, w->device) : add(s, w->device);
}

/* Interfaces that are made anew. */

bool listen_watches(const struct server *s)
{
	for (int i = 0; i < s->nlisteners; i++)
		if (s->listeners[i].device[0] != '\0')
			return true;
	return false;
}

/* What waits to be sent from the old socket goes from the new one. */
static int replace(struct server *s, struct listener *l)
{
	struct endpoint *e = &l->endpoint;
	struct wanted w = {.device = l->device};
	struct udp u;
	int err = udp_listen(&u, &l->addr, l->device, false, s->config->without);

	if (err == -EADDRINUSE)
		err = open_shared(s, &u, &w, &l->addr);
	if (err != 0)
		return err;
	prepare(s, &u);
	loop_fd_del(&s->loop, &e->io);
	udp_close(&e->udp);
	e->udp = u;
	return loop_fd_add(&s->loop, &e->io, u.fd, e->waiting != NULL ? POLLIN | POLLOUT : POLLIN, e->io.ready);
}

/*
 * What time does not heal: rights that were given up, a family that is gone. All else may pass: another program that
 * leaves, an address that is not settled yet, an interface that is gone again, memory.
 */
static bool is_final(int err)
{
	return err == -EACCES || err == -EPERM || family_missing(err);
}

/* Said when it begins to fail, and once more if it turns out that it always will. */
static void say_deaf(struct server *s, const struct listener *l, int before)
{
	char text[ADDR_TEXT], error[CONFIG_ERROR_MAX];
	bool low = l->deaf == -EACCES && addr_port(&l->addr) < 1024;

	if (before != 0 && is_final(l->deaf) == is_final(before))
		return;
	if (is_final(l->deaf)) {
		log_line(&s->log, LOG_LEVEL_ERROR, "the interface %s was made anew, and cannot be listened on at %s: %s%s; "
		    "start the server again", l->device, addr_print(&l->addr, text), strerror(-l->deaf),
		    low ? " (ports below 1024 need the rights of root that were given up)" : "");
		return;
	}
	explain(&l->addr, l->device, l->deaf, error);
	log_line(&s->log, LOG_LEVEL_WARNING, "the interface %s was made anew: %s; trying again now and then", l->device, error);
}

static void hear_again(struct server *s, struct listener *l, unsigned ifindex)
{
	char text[ADDR_TEXT];
	int before = l->deaf;

	if (l->addr.sa.sa_family == AF_INET6 && l->addr.v6.sin6_scope_id == l->ifindex)
		l->addr.v6.sin6_scope_id = ifindex;
	l->ifindex = ifindex;
	l->deaf = replace(s, l);
	if (l->deaf != 0)
		say_deaf(s, l, before);
	else
		log_line(&s->log, LOG_LEVEL_NOTICE, "the interface %s was made anew: listening on it at %s again", l->device,
		    addr_print(&l->addr, text));
}

bool listen_watch(struct server *s)
{
	bool hears = s->nlisteners == 0 || s->listen_missing != 0;

	for (int i = 0; i < s->nlisteners; i++) {
		struct listener *l = &s->listeners[i];
		unsigned now = l->device[0] != '\0' ? if_nametoindex(l->device) : 0;

		if (now != 0 && (now != l->ifindex || (l->deaf != 0 && !is_final(l->deaf))))
			hear_again(s, l, now);
		hears |= !is_final(l->deaf);
	}
	return hears;
}

static bool is_open(const struct server *s, const struct addr *a, const char *device)
{
	for (int i = 0; i < s->nlisteners; i++) {
		const struct listener *l = &s->listeners[i];

		if (addr_same_host(&l->addr, a) && (addr_port(a) == 0 || addr_port(a) == addr_port(&l->addr)) &&
		    strcmp(l->device, device != NULL ? device : "") == 0)
			return true;
	}
	return false;
}

/* Addresses. */

/* What the passing of time may heal by itself: an address or interface that is not there yet. */
static bool may_come(int err)
{
	return err == -EADDRNOTAVAIL || err == -ENODEV || err == -ENXIO;
}

/* Whether some interface has the address. */
static bool is_ours(const struct addr *a)
{
	struct ifaddrs *list;
	bool found = addr_is_wildcard(a);

	if (getifaddrs(&list) != 0)
		return true;
	for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
		struct addr here;

		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != a->sa.sa_family)
			continue;
		memset(&here, 0, sizeof(here));
		memcpy(&here.sa, i->ifa_addr, addr_len(a));
		found = addr_same_host(&here, a);
	}
	freeifaddrs(list);
	/* All of 127.0.0.0/8 is, without being listed. */
	return found || (a->sa.sa_family == AF_INET && ntohl(a->v4.sin_addr.s_addr) >> 24 == 127);
}

/* Whether a word that is neither host nor interface could be an interface that is still to come. */
static bool may_be_interface(const char *word)
{
	return strlen(word) < IF_NAMESIZE && strchr(word, '.') == NULL;
}

/* "[addr][:port]": the host may be an interface, all of whose addresses, also later ones, are then served. */
static int take_apart(const struct config *c, int i, char *copy, size_t cap, struct wanted *w)
{
	const char *given;
	char *host, *port;

	*w = (struct wanted){.port = c->port, .device = c->interface};
	/* Every address of both families. */
	if (c->naddresses == 0)
		return 0;
	given = c->addresses[i];
	if ((size_t)snprintf(copy, cap, "%s", given) >= cap || addr_split(copy, &host, &port) != 0)
		return -1;
	w->index = i;
	w->given = given;
	w->host = host;
	w->port = port != NULL ? port : c->port;
	if (host != NULL && if_nametoindex(host) != 0) {
		w->host = NULL;
		w->device = host;
	}
	return 0;
}

/* Why an address cannot be looked up; the resolver's own words for the two that are typed wrong help nobody. */
static const char *resolver_said(int err)
{
	if (err == EAI_SERVICE)
		return "there is no such port or service";
	/* At boot, before there is a network: it is mostly an interface that is meant. */
	if (err == EAI_AGAIN)
		return "there is no such interface, and hosts cannot be looked up now";
	return err == EAI_NONAME ? "there is no such host or interface" : gai_strerror(err);
}

/*
 * Open what is wanted and not open yet. Returns 0 if all of it is, else what was wrong, with a sentence in `error`; an
 * error of the resolver is -ENXIO where it may pass.
 */
static int open_wanted(struct server *s, const struct wanted *w, char error[CONFIG_ERROR_MAX])
{
	struct addr addrs[SERVER_LISTENERS];
	int n = addr_resolve(w->host, w->port, CONFIG_PORT, s->config->family, addrs, SERVER_LISTENERS), worst = 0;

	if (n < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on \"%.128s\": %s", listen_name(s, w->index),
		    resolver_said(n));
		return n == EAI_AGAIN || (n == EAI_NONAME && w->host != NULL && may_be_interface(w->host)) ? -ENXIO : -EINVAL;
	}
	for (int i = 0; i < n; i++) {
		int err = is_open(s, &addrs[i], w->device) ? 0 : open_one(s, w, &addrs[i]);

		if (err == 0)
			continue;
		explain(&addrs[i], w->device, err, error);
		if (family_missing(err))
			log_line(&s->log, LOG_LEVEL_WARNING, "%s; going on without it", error);
		else if (worst == 0 || may_come(worst))
			worst = err;
	}
	if (worst == 0 && n == 1 && w->host != NULL && !is_ours(&addrs[0]))
		log_line(&s->log, LOG_LEVEL_WARNING, "\"%.128s\" is no address of this machine yet; it is served as soon as it is",
		    w->given);
	return worst;
}

static int open_address(struct server *s, int i, char error[CONFIG_ERROR_MAX])
{
	struct wanted w;
	char copy[256];

	if (take_apart(s->config, i, copy, sizeof(copy), &w) == 0)
		return open_wanted(s, &w, error);
	snprintf(error, CONFIG_ERROR_MAX, "--address \"%.128s\" is not [ADDR][:PORT]", s->config->addresses[i]);
	return -EINVAL;
}

int listen_again(struct server *s, int i)
{
	char error[CONFIG_ERROR_MAX];

	return open_address(s, i, error);
}

const char *listen_name(const struct server *s, int i)
{
	const struct config *c = s->config;

	if (c->naddresses > 0)
		return c->addresses[i];
	return c->interface != NULL ? c->interface : c->port != NULL ? c->port : "port 69";
}

static int open_configured(struct server *s, char error[CONFIG_ERROR_MAX])
{
	char first[CONFIG_ERROR_MAX] = "";
	bool hope = false;
	int n = s->config->naddresses > 0 ? s->config->naddresses : 1;

	for (int i = 0; i < n; i++) {
		int err = open_address(s, i, error);

		if (err == 0)
			continue;
		s->listen_missing |= 1u << i;
		hope |= may_come(err);
		if (first[0] == '\0')
			memcpy(first, error, sizeof(first));
		else
			log_line(&s->log, LOG_LEVEL_WARNING, "%s; trying again now and then", error);
	}
	if (s->nlisteners > 0 || hope) {
		if (first[0] != '\0')
			log_line(&s->log, LOG_LEVEL_WARNING, "%s; trying again now and then", first);
		return 0;
	}
	if (first[0] != '\0')
		memcpy(error, first, sizeof(first));
	return -1;
}

/* Inherited. */

static bool is_bound_udp(int fd)
{
	struct addr a;
	socklen_t len = sizeof(a), type_len = sizeof(int);
	int type;

	memset(&a, 0, sizeof(a));
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_DGRAM &&
	    getsockname(fd, &a.sa, &len) == 0 && (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6) && addr_port(&a) != 0;
}

/* A bound socket that somebody else has opened. It is taken over, or closed. */
static int adopt(struct server *s, int fd, const char *device)
{
	int err = -ENOBUFS;

	if (s->nlisteners < SERVER_LISTENERS)
		err = udp_adopt(&s->listeners[s->nlisteners].endpoint.udp, fd, s->config->without);
	if (err != 0) {
		close(fd);
		return err;
	}
	return add(s, device);
}

void listen_take(struct server *s, int fd, const char *device)
{
	int err = s->stopping ? 0 : adopt(s, fd, device);

	if (s->stopping)
		close(fd);
	if (err != 0)
		log_line(&s->log, LOG_LEVEL_ERROR, "cannot serve a socket that was missing: %s", strerror(-err));
}

/* Takes a copy: the number may be one that somebody else means to close or use. */
static int adopt_copy(struct server *s, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, LISTEN_FDS_START);

	return copy < 0 ? -errno : adopt(s, copy, NULL);
}

static int passed_by_systemd(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int n = fds != NULL && pid != NULL && strtol(pid, NULL, 10) == (long)getpid() ? (int)strtol(fds, NULL, 10) : 0;

	/* Not for our children. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n > 0 && n <= SERVER_LISTENERS ? n : 0;
}

/* The sockets that inetd (descriptor 0) or systemd passed. */
static void adopt_inherited(struct server *s)
{
	int n = passed_by_systemd(), first = LISTEN_FDS_START, err;

	if (n == 0 && is_bound_udp(STDIN_FILENO)) {
		n = 1;
		first = STDIN_FILENO;
	}
	for (int fd = first; fd < first + n; fd++) {
		err = is_bound_udp(fd) ? adopt_copy(s, fd) : -EPROTOTYPE;
		if (err != 0)
			log_line(&s->log, LOG_LEVEL_WARNING, "cannot serve the inherited descriptor %d: %s", fd, strerror(-err));
		else if (fd != STDIN_FILENO)
			close(fd);
	}
	s->inherited = s->nlisteners > 0;
}

/* The whole. */

int listen_open(struct server *s, char error[CONFIG_ERROR_MAX])
{
	error[0] = '\0';
	adopt_inherited(s);
	return s->inherited ? 0 : open_configured(s, error);
}

void listen_close(struct server *s)
{
	opener_stop(s);
	while (s->nlisteners > 0)
		endpoint_close(&s->listeners[--s->nlisteners].endpoint);
}

void listen_forget(const struct server *s)
{
	for (int i = 0; i < s->nlisteners; i++)
		close(s->listeners[i].endpoint.udp.fd);
}

/*
 * Whether whoever asks could have this port. Tried on the loopback's address, as the other one may not be there yet, and
 * for a stream, as rights are the same there and no client's datagram can come to it.
 */
static void note_port(const struct addr *a, char note[CONFIG_ERROR_MAX])
{
	struct addr here = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr_set_port(&here, addr_port(a));
	if (fd >= 0 && bind(fd, &here.sa, sizeof(here.v4)) != 0 && errno == EACCES)
		explain(a, NULL, -EACCES, note);
	if (fd >= 0)
		close(fd);
}

/* One address of the command line, or NULL for all: whether there is such a host, interface and port. */
static int check_address(const struct config *c, const char *given, char note[CONFIG_ERROR_MAX],
    char error[CONFIG_ERROR_MAX])
{
	char copy[256] = "", *host = NULL, *port = NULL;
	struct addr addrs[SERVER_LISTENERS];
	int n = EAI_NONAME;

	if (given == NULL || ((size_t)snprintf(copy, sizeof(copy), "%s", given) < sizeof(copy) &&
	    addr_split(copy, &host, &port) == 0))
		n = addr_resolve(host != NULL && if_nametoindex(host) != 0 ? NULL : host, port != NULL ? port : c->port,
		    CONFIG_PORT, c->family, addrs, SERVER_LISTENERS);
	if (n > 0)
		note_port(&addrs[0], note);
	if (n >= 0)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "--%s \"%.128s\": %s", given != NULL ? "address" : "port",
	    given != NULL ? given : c->port, resolver_said(n));
	return EX_CONFIG;
}

int listen_check(const struct config *c, char note[CONFIG_ERROR_MAX], char error[CONFIG_ERROR_MAX])
{
	int status;

	note[0] = '\0';
	status = c->naddresses == 0 ? check_address(c, NULL, note, error) : 0;
	for (int i = 0; status == 0 && i < c->naddresses; i++)
		status = check_address(c, c->addresses[i], note, error);
	return status;
}

const char *listen_describe(const struct server *s, char *buf, size_t cap)
{
	size_t len = 0;

	snprintf(buf, cap, "nothing yet");
	for (int i = 0; i < s->nlisteners && len < cap; i++) {
		const struct listener *l = &s->listeners[i];
		const char *between = i == 0 ? "" : i + 1 == s->nlisteners ? " and " : ", ";
		char text[ADDR_TEXT];

		len += (size_t)snprintf(buf + len, cap - len, "%s%s%s%s", between, addr_print(&l->addr, text),
		    l->device[0] != '\0' ? " on " : "", l->device);
	}
	return buf;
}
