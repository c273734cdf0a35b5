/*
 * Transfers, from names to exit statuses: any number of jobs in one event loop. Prints nothing: what there is to say is
 * in each job's outcome, and whoever wants to show progress is called back.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "addr.h"
#include "monotime.h"
#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses, curl's where it has one. */
enum client_status {
	CLIENT_OK = 0,
	CLIENT_PEER = 1,          /* ERROR 0: the server's own words */
	CLIENT_HOST = 6,          /* no such host */
	CLIENT_REFUSED = 7,       /* ICMP: nobody listens there */
	CLIENT_WRITE = 23,        /* local file cannot be written */
	CLIENT_READ = 26,         /* local file cannot be read */
	CLIENT_SILENT = 28,       /* no answer, or no more, or out of time */
	CLIENT_USAGE = 64,
	CLIENT_NOT_FOUND = 68,
	CLIENT_ACCESS = 69,
	CLIENT_DISK_FULL = 70,
	CLIENT_ILLEGAL = 71,      /* ERROR 4 or 8, or an answer that breaks the protocol */
	CLIENT_UNKNOWN_TID = 72,
	CLIENT_EXISTS = 73,
	CLIENT_NO_USER = 74,
	CLIENT_INTERRUPTED = 130,
};

#define CLIENT_RETRIES 4   /* an unanswered request is repeated so often */
#define CLIENT_GIVE_UP 30  /* seconds without progress */
#define CLIENT_PARALLEL_MAX 256

struct client_options {
	uint32_t blksize;      /* 0: from the route's MTU */
	uint32_t windowsize;   /* 0: what fits 64 KiB */
	unsigned timeout;      /* seconds between retransmissions, offered to the server too; 0: adaptive */
	unsigned interval;     /* the same, for our side alone; 0: adaptive */
	unsigned give_up;      /* seconds without progress; 0: CLIENT_GIVE_UP */
	unsigned max_time;     /* seconds for a file in all; 0: any */
	unsigned retries;
	bool text;             /* netascii */
	bool no_options;       /* RFC 1350 as it was */
	bool relaxed_peer;     /* the first answer may come from another address */
	bool no_tsize;
	int family;            /* AF_UNSPEC: both */
	struct addr bind;      /* local address, port 0; family 0: any */
	uint16_t port_lo, port_hi; /* local ports; 0: any */
	unsigned parallel;     /* files at a time; 0 is 1 */
	bool trace;
	bool hurry;            /* whoever waits for the run need not wait for its dallying: a child process does that */
	unsigned without;      /* UDP_NO_* */
};

struct client_outcome {
	enum client_status status;
	bool decided;          /* false: it is under way, or not begun yet */
	char message[768];     /* what went wrong: one sentence without a newline, safe for a terminal */
	char note[512];        /* what was odd although it worked, or empty */
	char peer[ADDR_TEXT];  /* who answered, or was asked last; may be empty */
	uint64_t bytes;        /* of the file */
	uint64_t resent;
	mono_t took, rtt;
	struct option_terms terms;
	bool plain;            /* without options */
};

struct client_job {
	bool write;            /* put */
	bool text;             /* netascii */
	const char *host;      /* host, host:port, [v6] or [v6]:port, or several with commas between: asked in turn */
	const char *port;      /* where the host does not say; NULL: 69 */
	const char *remote;    /* the name as the server gets it */
	const char *local;     /* "-": standard input or output; get: a directory takes the file's own name */
	struct client_outcome out;
};

/* Its data goes to standard output. */
bool client_writes_stdout(const struct client_job *job);

/* How far the running jobs have come, for whoever shows it. */
struct client_state {
	const struct client_job *job;  /* the one that runs, or the first of several; NULL: none */
	size_t jobs, done, failed, running;
	uint64_t bytes;        /* of the files that are running */
	uint64_t expected;     /* of them in all, UINT64_MAX: unknown */
	uint64_t finished;     /* bytes of those that are done */
	mono_t elapsed;
};

/* A user interface; any of them may be NULL. */
struct client_view {
	void (*tick)(void *arg, const struct client_state *state);            /* a few times a second */
	void (*done)(void *arg, const struct client_job *job);                /* a verdict */
	void (*packet)(void *arg, bool sent, const struct addr *peer, const uint8_t *buf, size_t len);
	void (*stranger)(void *arg, const struct addr *from, const uint8_t *buf, size_t len); /* not from the peer */
	void *arg;
};

struct client;

/*
 * A client holds the loop and what it has learnt about hosts. *options and *view must outlive it and may change between
 * two runs. NULL: out of memory or descriptors.
 */
struct client *client_new(const struct client_options *options, const struct client_view *view);
void client_del(struct client *c);

/*
 * Run the jobs, options->parallel at a time; one at a time where one's data goes to standard output. Returns 0, or
 * the status of the first that failed. SIGINT, SIGTERM and SIGHUP, unless they are ignored, end the run (and stay
 * blocked after it): CLIENT_INTERRUPTED. Every job has a verdict then, those that were not begun as well.
 */
enum client_status client_run(struct client *c, struct client_job *jobs, size_t n);

/* Whether there is such a host. False as well if a signal ended the search for it. */
bool client_finds(struct client *c, const char *host, const char *port);

/* The signal that ended the last run, or the last search, or 0. */
int client_interrupted(const struct client *c);

#endif
