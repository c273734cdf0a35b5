/*
 * What the server was told to do: every default in one place, read from the command line, checked whole before use.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "access.h"
#include "log.h"
#include "monotime.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_ADDRESSES 32
#define CONFIG_PORT 69

/* In `without`, beside the UDP_NO_* bits. */
#define CONFIG_NO_SECCOMP 0x20000
#define CONFIG_NO_LANDLOCK 0x40000

struct config {
	const char *directory;
	const char *addresses[CONFIG_ADDRESSES]; /* as given, see addr_split(); none: every address of both families */
	int naddresses;
	const char *interface;    /* listen on this one only, NULL: on all */
	const char *port;         /* number or service name for addresses without one; NULL: 69 */
	bool create;              /* uploads are allowed, new names included */
	bool sync;                /* an upload is on disk before its last ACK */
	uint32_t blksize_max;     /* 0: what the interface's MTU carries without fragments */
	uint32_t windowsize_max;  /* blocks */
	uint32_t window_bytes;
	mono_t give_up;           /* silence of a peer that was there */
	unsigned tries;           /* timeouts of one that never was */
	unsigned max_transfers;   /* at once */
	unsigned max_per_client;  /* of them for one address, 0: no limit */
	uint64_t rate, rate_per_client; /* bytes per second, 0: no limit */
	struct access access;     /* who may ask */
	char access_error[ACCESS_ERROR_MAX];
	bool single_port;         /* transfers stay on the listening socket */
	bool relaxed_peer;        /* a client's port may change during a transfer */
	bool answer_broadcast;    /* requests sent to a broadcast address are served */
	uint16_t port_lo, port_hi; /* local ports of transfers; 0: any */
	unsigned without;         /* UDP_NO_*, CONFIG_NO_*: fast paths and fences to leave out */
	enum log_level level;
	const char *log;          /* "stderr", "syslog" or a file; NULL: wherever it suits */
	enum log_format log_format;
	enum { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION } action;
};

#define CONFIG_ERROR_MAX 256

/*
 * Read the command line into *c, defaults first. Returns 0, or a sysexits.h status with a sentence in `error` that names
 * the word that is wrong. Strings stay where argv has them.
 */
int config_parse(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX]);

/* What was allocated for it. */
void config_free(struct config *c);

/* The usage text, made from the same table that is parsed by. */
void config_usage(FILE *out);

#endif
