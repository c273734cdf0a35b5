/* Which addresses to listen on, and what to say when one cannot be had. */
#include "listen.h"

#include "request.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

/*
 * Room for requests that arrive together when a rack is switched on, and with --single-port for what all transfers
 * send; the kernel gives what it allows.
 */
#define BUFFER (8 << 20)

static void explain(const struct addr *a, int err, char error[CONFIG_ERROR_MAX])
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
	else
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on %s: %s", text, strerror(-err));
}

static int open_one(struct server *s, const struct addr *a)
{
	struct listener *l = &s->listeners[s->nlisteners];
	int err;

	if (s->nlisteners == SERVER_LISTENERS)
		return -ENOBUFS;
	err = udp_open(&l->endpoint.udp, a, true, s->config->without);
	if (err != 0)
		return err;
	udp_buffers(&l->endpoint.udp, BUFFER);
	udp_count_drops(&l->endpoint.udp);
	/* Uploads come in here as well. */
	if (s->config->single_port && s->config->create)
		udp_coalesce(&l->endpoint.udp, s->config->without);
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

/* What a machine without IPv6, or with it switched off, answers. */
static bool family_missing(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL || err == -EPROTONOSUPPORT;
}

static int open_all(struct server *s, const char *given, const char *host, const char *port,
    char error[CONFIG_ERROR_MAX])
{
	struct addr addrs[SERVER_LISTENERS];
	int n = addr_resolve(host, port, CONFIG_PORT, AF_UNSPEC, addrs, SERVER_LISTENERS);

	if (n < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on \"%s\": %s", given, gai_strerror(n));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		int err = open_one(s, &addrs[i]);

		if (err == 0)
			continue;
		explain(&addrs[i], err, error);
		if (!family_missing(err))
			return -1;
		log_line(&s->log, LOG_LEVEL_WARNING, "%s; going on without it", error);
	}
	return 0;
}

int listen_open(struct server *s, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = s->config;

	error[0] = '\0';
	for (int i = 0; i < c->naddresses; i++) {
		char copy[256], *host, *port;

		snprintf(copy, sizeof(copy), "%s", c->addresses[i]);
		if (strlen(c->addresses[i]) >= sizeof(copy) || addr_split(copy, &host, &port) != 0) {
			snprintf(error, CONFIG_ERROR_MAX, "--address \"%.128s\" is not [ADDR][:PORT]", c->addresses[i]);
			return -1;
		}
		if (open_all(s, c->addresses[i], host, port != NULL ? port : c->port, error) != 0)
			return -1;
	}
	if (c->naddresses == 0 && open_all(s, c->port != NULL ? c->port : "port 69", NULL, c->port, error) != 0)
		return -1;
	return s->nlisteners > 0 ? 0 : -1;
}

void listen_close(struct server *s)
{
	while (s->nlisteners > 0)
		endpoint_close(&s->listeners[--s->nlisteners].endpoint);
}

const char *listen_describe(const struct server *s, char *buf, size_t cap)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < s->nlisteners && len < cap; i++) {
		char text[ADDR_TEXT];
		const char *between = i == 0 ? "" : i + 1 == s->nlisteners ? " and " : ", ";

		len += (size_t)snprintf(buf + len, cap - len, "%s%s", between, addr_print(&s->listeners[i].addr, text));
	}
	return buf;
}
