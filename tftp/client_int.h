/* What client.c, dally.c, task.c, attempt.c, ask.c, lookup.c and verdict.c share; nobody else includes it. */
#ifndef CLIENT_INT_H
#define CLIENT_INT_H

#include "client.h"
#include "endpoint.h"
#include "store_file.h"

#include <sys/types.h>

#define HOST_ADDRESSES 8

/* What to ask of a server. Old ones choke on a few options, very old ones on any. */
enum ask_level { ASK_ALL, ASK_FEWER, ASK_NONE };

/* A server by name, and what was learnt about it in this run. */
struct host {
	struct host *next;
	char *name;              /* as the job has it: host or host:port */
	char *port;              /* or NULL */
	int family;
	struct addr addrs[HOST_ADDRESSES];
	int n;                   /* addresses, or a negative EAI_ code */
	enum ask_level level;    /* what it is known to answer to */
	uint32_t most;           /* blocks larger than this never arrived; 0: no limit known */
	bool silent;             /* it did not answer at all */
};

/* One job under way: the servers to ask, the attempt that runs. */
struct task {
	struct client *client;
	struct client_job *job;
	struct task *next;
	char *hosts;             /* the job's list, cut at its commas as they are reached */
	char *rest;              /* what follows the present one, NULL: nothing */
	struct host *host;
	int at;                  /* which of its addresses */
	enum ask_level level;
	enum ask_level first;    /* the first that was asked of this address */
	bool repeated;           /* an earlier attempt at this address met silence */
	unsigned sends;          /* requests that a silent address gets in all */
	uint32_t blksize, windowsize; /* offered, or to be */
	uint64_t size;           /* of the source, UINT64_MAX: unknown */
	bool stream;             /* the local end can be used only once */
	struct transfer_request request;
	struct transfer_policy policy;
	struct endpoint endpoint;
	struct session session;
	struct store_file file;
	struct store store;      /* the local end, from when it is open until a session takes it over */
	struct store_wait wait;  /* until a pipe takes more of what is received */
	struct store_file park;  /* what an attempt had read from a pipe, for the next one */
	struct store park_store;
	struct loop_fd input;    /* a pipe that is to be sent, or is being sent, and had nothing to read */
	struct loop_timer look;  /* whether somebody reads a named pipe now */
	struct loop_timer limit; /* --max-time */
	struct loop_timer hole;  /* looks whether any data comes through */
	mono_t began;
	mono_t answered;         /* when `hole` first saw that the request was answered, 0: not yet */
	struct addr elsewhere;   /* who answered from an address that was not asked; family 0: nobody */
	bool parked;             /* `park` is in use */
	bool gone;               /* a part of what a pipe gave is acknowledged, or lost: there cannot be another attempt */
	bool ready;              /* `store` is open */
	bool waits;              /* a pipe has nothing to send yet, or nobody who reads: no server is asked before */
	bool open;               /* there is a session */
	bool over;               /* the attempt has ended */
	bool complete;           /* and the file with it */
	bool black_hole;         /* it was ended because no block came through */
	bool out_of_time;        /* --max-time is over */
	struct client_outcome said; /* what an earlier server said, worth more than a later one's silence */
};

struct client {
	const struct client_options *options;
	const struct client_view *view;
	struct loop loop;
	struct exchange *exchange;
	struct behind behind;
	struct host *hosts;
	struct task *tasks;      /* those begun and not yet gone */
	size_t running;          /* of them, without a verdict */
	size_t live;             /* all of them */
	struct client_job *jobs;
	size_t njobs, begun;
	size_t most;             /* jobs at a time */
	struct loop_timer tick;
	mono_t started;
	mono_t leave;            /* all have their verdict: when the last of them stop to dally; MONO_NEVER: not yet */
	dev_t tidied_on;         /* the directory that was looked through last, an inode of 0: none */
	ino_t tidied;
	int interrupted;         /* the signal, or 0 */
};

/* client.c: the job has its verdict. */
void client_job_done(struct client *c, struct client_job *job);

/* client.c: a download goes into this directory: remove what a killed client left there, once. */
void client_tidy(struct client *c, int dir);

/*
 * client.c: wait until poll() says `events` of `fd`, or until a signal ends the run; all else that runs stands still
 * meanwhile. True if it does. For where there is no way back to the loop: a name server, a pipe that is full.
 */
bool client_await(struct client *c, int fd, short events, mono_t until);

/*
 * dally.c. All files have their verdict: dally_in_child leaves what dallies to a child process. False: the run has to
 * wait itself, which dally_until bounds.
 */
bool dally_in_child(struct client *c);
mono_t dally_until(const struct client *c, mono_t now);

/*
 * task.c. task_start begins a job; false: it ended at once, with a verdict. task_next is for one whose session is over:
 * it begins another attempt where there is one worth making (true), or settles the verdict (false).
 */
struct task *task_new(struct client *c, struct client_job *job);
bool task_start(struct task *t);
bool task_next(struct task *t);
void task_del(struct task *t);

/*
 * attempt.c. attempt_start opens the local file and asks the task's address, at once or when a pipe is ready; false: it
 * failed before anything was sent, and the outcome says why. If that happens later, `over` is set and `open` is not.
 * attempt_park comes before attempt_close, for another attempt at what a pipe gave, unless that is gone.
 * attempt_remember: what worked is what the next file begins with.
 */
void attempt_init(struct task *t); /* its timers */
bool attempt_start(struct task *t);
bool attempt_ended_early(struct task *t); /* by the user, or out of time: looked at where the loop does not run */
void attempt_park(struct task *t);
void attempt_close(struct task *t);
void attempt_remember(struct task *t);
void attempt_cancel(struct task *t, const char *why, mono_t now);

/* ask.c. host_find looks the name up, until `until` or a signal at most; NULL: out of memory. */
struct host *host_find(struct client *c, const char *name, const char *port, mono_t until);
bool host_was_silent(const struct client *c, const char *name, size_t len, const char *port);
void host_forget(struct client *c);                                            /* all of them */
int ask_sizes(struct task *t);              /* block and window for the task's address, 0; or -errno: no way there */
void ask_offer(struct task *t);             /* fills t->request */
unsigned ask_share(unsigned sends, enum ask_level first, enum ask_level level);
uint32_t ask_smaller(uint32_t blksize);     /* the next block size to try, 0: none */

/*
 * lookup.c: addr_resolve, but it ends with EAI_AGAIN at `until`, or when a signal ends the run: a name server that does
 * not answer takes its time.
 */
int lookup(struct client *c, const char *host, const char *port, int family, struct addr *out, int max, mono_t until);

/* verdict.c: words and status for what ended. */
void verdict_say(struct client_outcome *out, enum client_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void verdict_local(struct task *t, int err);          /* -errno: the local file */
void verdict_no_way(struct task *t, int err);         /* a positive errno: nothing can be sent to the task's address */
void verdict_early(struct task *t, const char *why);  /* interrupted, or out of time, before anything was asked */
void verdict_judge(struct task *t);                   /* from the transfer's result */

/* A name for a message: anything in it that could move a terminal is escaped. */
struct printable {
	char text[160];
};
struct printable printable(const char *name);

#endif
