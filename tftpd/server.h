/*
 * The server: a loop, its listening endpoints, and the transfers that run. Everything that lives as long as the process
 * hangs off struct server; there are no globals.
 */
#ifndef SERVER_H
#define SERVER_H

#include "config.h"
#include "endpoint.h"
#include "limit.h"
#include "lists.h"
#include "log.h"
#include "logs.h"
#include "loop.h"
#include "names.h"
#include "notify.h"
#include "store_file.h"
#include "worker.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVER_LISTENERS 64
#define SERVER_MTU_CACHE 16
#define SERVER_PATH_CACHE 64

struct listener {
	struct endpoint endpoint;
	struct addr addr;
	char device[IF_NAMESIZE];     /* only on this interface, "": on all */
	unsigned ifindex;             /* which that was when the socket was bound to it */
	int deaf;                     /* it has been made anew and cannot be listened on: -errno, else 0 */
};

struct server_counters {
	uint64_t sent, received;      /* transfers completed */
	uint64_t bytes_sent, bytes_received;
	uint64_t failed, refused, denied, probed;
};

struct server {
	struct loop loop;
	struct exchange exchange;
	const struct config *config;
	struct log log;
	struct logs logs;
	struct notify notify;
	mono_t started;
	struct names names;
	struct lists lists;
	struct listener listeners[SERVER_LISTENERS];
	int nlisteners;
	bool inherited;               /* they came from inetd or systemd */
	uint32_t listen_missing;      /* bits: addresses of the configuration that are not all open yet */
	struct loop_fd opener_io;     /* from the process that tries them again, see opener.h */
	int opener_end;               /* in that process: its end; 0 in the server */
	struct limits limits;
	mono_t guessed;               /* the second that these count in, see request_refuse_name */
	unsigned blames, guesses;
	struct transfer_policy policy;
	struct transfer_policy policy_short; /* for those whose request was too short for more than two answers */
	struct ahead ahead;
	struct behind behind;
	struct worker worker;         /* where uploads wait for the disk; see put_start */
	bool has_worker;
	struct store_offload offload;
	unsigned writebacks;          /* hints to the disk under way */
	uint64_t upload_memory;       /* bytes that uploads which are collected in memory may still take */
	bool ending;                  /* the worker shall come to its end */
	struct job *jobs;             /* all running transfers */
	size_t njobs;
	unsigned next_port;           /* --port-range: where the next transfer begins to look */
	bool stopping;
	struct loop_timer stop_timer;
	struct loop_timer watch_timer; /* some listener has an interface, or may come to have one: see listen_watch */
	bool failed;                  /* nothing can be heard any more */
	struct loop_timer idle_timer; /* inherited sockets: see config->idle */
	mono_t last_work;             /* a request, or the end of a transfer */
	struct server_counters counters;
	/* MTUs of interfaces, and of the ways to peers; asked once a second at most */
	struct { unsigned ifindex; uint32_t mtu; mono_t asked; } mtus[SERVER_MTU_CACHE];
	struct { struct addr peer; uint32_t mtu; mono_t asked; } paths[SERVER_PATH_CACHE];
	int path_fd[2];               /* sockets to ask them with, for IPv4 and IPv6; 0 or less: none yet */
};

/* One transfer: a session on a port of its own or on the listener's (--single-port), and the file behind it. */
struct job {
	struct session session;
	struct endpoint endpoint;     /* its own port; not used on the listener's */
	struct store_file file;
	struct server *server;
	struct job *next, **link;     /* in server->jobs, the newest first */
	struct client *client;        /* its peer, where that is counted or paced; else NULL */
	struct paced *paced;          /* its place under a rate, or NULL */
	struct job_list *list;        /* of those that may have to make room, see limit.h, or NULL */
	struct job *list_next, **list_link;
	struct option_set granted;    /* for the log */
	bool write, text, oacked;
	char name[];                  /* as it was asked for */
};

/* Start from zeroed memory. 0 or -errno. The configuration must outlive the server. */
int server_init(struct server *s, const struct config *config, const struct log *log);
void server_free(struct server *s);

/* Serve until a signal ends it. 0 or -errno. */
int server_run(struct server *s);

/*
 * A job for a request that is about to be granted: not yet in the server. Its transfer must be started, then job_start;
 * or job_drop if it never gets so far. NULL: no memory.
 */
struct job *job_new(struct server *s, const char *name, bool write, bool text);
void job_drop(struct job *j);

/*
 * Give a job whose transfer has been started its socket, or the listener's (--single-port), answering `d` from the
 * address it was sent to, and send its first packet. Takes over the job, also on failure. Returns 0 or -errno, then
 * nothing was sent.
 */
int job_start(struct job *j, struct endpoint *listener, const struct udp_datagram *d, mono_t now);

/* How patient to be with the sender of `d`, whose first answer will have `answer` bytes. */
const struct transfer_policy *server_policy(const struct server *s, const struct udp_datagram *d, size_t answer);

/* The largest block that this server grants to the sender of `d`. */
uint32_t server_blksize(struct server *s, const struct udp_datagram *d, mono_t now);

#endif
