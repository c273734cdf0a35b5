/*
 * Names to addresses, in a thread: the C library waits for a name server for as long as it likes and lets no signal end
 * that. A thread that nobody waits for any more goes on to its end by itself, and takes what it has with it.
 */
#include "client_int.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Belongs to both threads until one of them has put its mark; then to the other. */
struct lookup {
	char *host, *port;       /* port may be NULL */
	int family;
	struct addr addrs[HOST_ADDRESSES];
	int n;                   /* of them, or EAI_ */
	int done;                /* eventfd */
	bool marked;
};

static void lookup_del(struct lookup *l)
{
	if (l->done >= 0)
		close(l->done);
	free(l->host);
	free(l->port);
	free(l);
}

static struct lookup *lookup_new(const char *host, const char *port, int family)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->family = family;
	l->host = strdup(host);
	l->port = port != NULL ? strdup(port) : NULL;
	l->done = eventfd(0, EFD_CLOEXEC);
	if (l->host != NULL && (port == NULL || l->port != NULL) && l->done >= 0)
		return l;
	lookup_del(l);
	return NULL;
}

static void *look(void *arg)
{
	struct lookup *l = arg;

	l->n = addr_resolve(l->host, l->port, 69, l->family, l->addrs, HOST_ADDRESSES);
	if (__atomic_exchange_n(&l->marked, true, __ATOMIC_ACQ_REL))
		lookup_del(l);
	else
		eventfd_write(l->done, 1);
	return NULL;
}

static bool start(struct lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	if (pthread_attr_init(&attr) != 0)
		return false;
	started = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
	    pthread_create(&thread, &attr, look, l) == 0;
	pthread_attr_destroy(&attr);
	return started;
}

/* Nobody needs to be asked about these. */
static bool is_address(const char *host)
{
	struct in_addr v4;

	return strchr(host, ':') != NULL || inet_pton(AF_INET, host, &v4) == 1;
}

int lookup(struct client *c, const char *host, const char *port, int family, struct addr *out, int max, mono_t until)
{
	struct lookup *l = is_address(host) ? NULL : lookup_new(host, port, family);
	eventfd_t one;
	int n;

	if (l == NULL || !start(l)) {
		if (l != NULL)
			lookup_del(l);
		return addr_resolve(host, port, 69, family, out, max);
	}
	if (!client_await(c, l->done, POLLIN, until) && !__atomic_exchange_n(&l->marked, true, __ATOMIC_ACQ_REL))
		return EAI_AGAIN;
	/* It has its mark, and the event is there or about to be. */
	eventfd_read(l->done, &one);
	n = l->n < max ? l->n : max;
	if (n > 0)
		memcpy(out, l->addrs, (size_t)n * sizeof(*out));
	lookup_del(l);
	return n;
}
