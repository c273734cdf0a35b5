/* What to ask of which server: names to addresses, sizes from the route, options by what the server can stand. */
#include "client_int.h"
#include "route.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES 65536
#define WINDOW_MOST 64

/* Hosts. */

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Only addresses that the local one (--bind) can talk to. */
static void resolve(struct host *h, struct client *c, mono_t until)
{
	const struct client_options *o = c->options;
	int family = o->bind.sa.sa_family != AF_UNSPEC ? o->bind.sa.sa_family : o->family;
	char *text = strdup(h->name), *host, *port;

	h->family = o->family;
	h->n = EAI_MEMORY;
	if (text == NULL)
		return;
	if (addr_split(text, &host, &port) != 0 || host == NULL || strlen(host) > 253)
		h->n = EAI_NONAME;
	else
		h->n = lookup(c, host, port != NULL ? port : h->port, family, h->addrs, HOST_ADDRESSES, until);
	if (h->n > 0 && addr_port(&h->addrs[0]) == 0)
		h->n = EAI_SERVICE;
	free(text);
}

struct host *host_find(struct client *c, const char *name, const char *port, mono_t until)
{
	struct host *h = c->hosts;

	while (h != NULL && !(same(h->name, name) && same(h->port, port) && h->family == c->options->family))
		h = h->next;
	/* A name that could not be resolved is asked for again: the network may be up now. */
	if (h != NULL && h->n > 0)
		return h;
	if (h == NULL) {
		h = calloc(1, sizeof(*h));
		if (h == NULL)
			return NULL;
		h->name = strdup(name);
		h->port = port != NULL ? strdup(port) : NULL;
		h->next = c->hosts;
		c->hosts = h;
		if (h->name == NULL || (port != NULL && h->port == NULL))
			return NULL;
	}
	resolve(h, c, until);
	return h;
}

bool host_was_silent(const struct client *c, const char *name, size_t len, const char *port)
{
	for (const struct host *h = c->hosts; h != NULL; h = h->next)
		if (h->silent && strncmp(h->name, name, len) == 0 && h->name[len] == '\0' && same(h->port, port))
			return true;
	return false;
}

void host_forget(struct client *c)
{
	while (c->hosts != NULL) {
		struct host *h = c->hosts;

		c->hosts = h->next;
		free(h->name);
		free(h->port);
		free(h);
	}
}

/* Sizes. */

int ask_sizes(struct task *t)
{
	const struct client_options *o = t->client->options;
	int err = route_look(&t->host->addrs[t->at], &o->bind, &t->blksize);

	if (o->no_options) {
		t->blksize = PACKET_BLKSIZE;
		t->windowsize = 1;
		return err;
	}
	if (o->blksize != 0)
		t->blksize = o->blksize;
	if (t->host->most != 0 && t->blksize > t->host->most)
		t->blksize = t->host->most;
	t->windowsize = o->windowsize;
	if (t->windowsize != 0)
		return err;
	t->windowsize = WINDOW_BYTES / t->blksize;
	if (t->windowsize > WINDOW_MOST)
		t->windowsize = WINDOW_MOST;
	if (t->windowsize < 1)
		t->windowsize = 1;
	return err;
}

/* Ethernet behind a tunnel or two, the least MTU of IPv6, and what needs no option. */
uint32_t ask_smaller(uint32_t blksize)
{
	static const uint32_t steps[] = {1468, 1428, 1228, PACKET_BLKSIZE};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i] < blksize)
			return steps[i];
	return 0;
}

/* Options. */

void ask_offer(struct task *t)
{
	const struct client_options *o = t->client->options;
	struct option_set *set = &t->request.offered;

	memset(set, 0, sizeof(*set));
	t->request.name = t->job->remote;
	t->request.mode = t->job->text ? "netascii" : "octet";
	if (t->level == ASK_NONE)
		return;
	/* A text's size on the wire is not its size on disk. */
	if (!t->job->write && !o->no_tsize)
		options_add(set, OPTION_TSIZE, 0);
	else if (t->size != UINT64_MAX && !t->job->text && !o->no_tsize)
		options_add(set, OPTION_TSIZE, t->size);
	if (t->blksize != PACKET_BLKSIZE)
		options_add(set, OPTION_BLKSIZE, t->blksize);
	if (t->windowsize > 1 && t->level == ASK_ALL)
		options_add(set, OPTION_WINDOWSIZE, t->windowsize);
	if (o->timeout != 0 && t->level == ASK_ALL)
		options_add(set, OPTION_TIMEOUT, o->timeout);
}

/*
 * How many of the `sends` requests that a silent address gets go out with this set of options. A lost packet is more
 * likely than a server that is struck dumb by an option, so most of them ask for everything.
 */
unsigned ask_share(unsigned sends, enum ask_level first, enum ask_level level)
{
	unsigned all = (3 * sends + 4) / 5, rest = sends - all;

	if (first != ASK_ALL)
		return level == first ? sends : 0;
	switch (level) {
	case ASK_ALL:
		return all;
	case ASK_FEWER:
		return rest / 2;
	case ASK_NONE:
		return rest - rest / 2;
	}
	return 0;
}
