/*
 * One transfer, from a name to an exit status. Prints nothing: what there is to say is in the outcome.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses, curl's where it has one. */
enum client_status {
	CLIENT_OK = 0,
	CLIENT_PEER = 1,          /* ERROR 0: the server's own words */
	CLIENT_HOST = 6,          /* no such host */
	CLIENT_REFUSED = 7,       /* ICMP: nobody listens there */
	CLIENT_WRITE = 23,        /* local file cannot be written */
	CLIENT_READ = 26,         /* local file cannot be read */
	CLIENT_SILENT = 28,       /* no answer, or no more */
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

struct client_options {
	uint32_t blksize;      /* 0: from the route's MTU */
	uint32_t windowsize;   /* 0: what fits 64 KiB */
	unsigned timeout;      /* seconds between retransmissions, offered to the server too; 0: adaptive */
	bool text;             /* netascii */
	unsigned without;      /* UDP_NO_* */
};

struct client_job {
	bool write;            /* put */
	const char *host;
	const char *port;      /* NULL: 69 */
	const char *remote;    /* the name as the server gets it */
	const char *local;     /* "-": standard input or output; get: a directory takes the file's own name */
};

struct client_outcome {
	enum client_status status;
	char message[512];     /* one sentence without a newline, safe for a terminal; on success a summary */
};

/* Run it. Returns out->status. */
int client_run(const struct client_options *options, const struct client_job *job, struct client_outcome *out);

#endif
