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
	unsigned options;            /* OACK: OPTION_BIT of those in it */
	bool multicast;              /* OACK: that was in it */
	uint64_t value[OPTION_COUNT];
	char names[128];             /* OACK: "tsize=0 blksize=1468", safe */
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

#endif
