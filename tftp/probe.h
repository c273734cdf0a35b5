/*
 * One question to a server and what comes back: a request or any bytes, sent a few times from a socket of its own.
 * Waits by itself, without the event loop; a diagnosis asks one thing after the other.
 */
#ifndef PROBE_H
#define PROBE_H

#include "addr.h"
#include "monotime.h"
#include "options.h"
#include "packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe {
	const struct addr *to;
	struct addr local;           /* family 0: any */
	unsigned tries;
	mono_t wait;                 /* for each */
	bool data;                   /* after an OACK: acknowledge it and wait for DATA 1 */
	const struct option_set *offered; /* what the request asks for, to judge the OACK by; NULL: it is not judged */
};

struct probe_answer {
	bool came;                   /* a packet */
	int err;                     /* ICMP, or the local system: an errno; 0: neither */
	struct addr from;            /* who answered */
	bool same_host, same_port;   /* as asked */
	unsigned lost;               /* tries that nobody answered */
	mono_t rtt;
	enum packet_op op;
	uint16_t code;               /* ERROR */
	char text[PACKET_TEXT_MAX];  /* ERROR: its words, safe for a terminal */
	unsigned options;            /* OACK: OPTION_BIT of those in it whose value is a number */
	bool multicast;              /* OACK: that was in it */
	uint64_t value[OPTION_COUNT];
	char names[128];             /* OACK: "tsize=0 blksize=1468", safe */
	const char *wrong;           /* OACK: why a strict client would refuse it, or NULL */
	bool data;                   /* DATA 1 came, at once or after the OACK */
	size_t len;                  /* its bytes */
};

/* A request's bytes. Returns the length, 0 if it does not fit. */
size_t probe_request(uint8_t *buf, size_t cap, bool write, const char *name, const struct option_set *options);

/*
 * Ask. What answered is told at the end that nothing more is wanted (ERROR 0). Returns 0 or -errno when there is not
 * even a socket.
 */
int probe_ask(const struct probe *p, const void *bytes, size_t len, struct probe_answer *a);

#define PROBE_LOSS_MOST 250

struct probe_loss {
	unsigned sent, answered;
	mono_t rtt;                  /* median, 0: nothing was answered */
};

/*
 * What is lost on the way there and back: up to `n` requests (at most PROBE_LOSS_MOST) for files that nobody has, each
 * sent once, one after the other, for `total` at most. A server answers each with one ERROR and never repeats it, so
 * neither its timers nor ours have a part in the figure. What comes late counts as answered. Returns 0 or -errno.
 */
int probe_loss(const struct probe *p, const char *name, unsigned n, mono_t total, struct probe_loss *l);

#endif
