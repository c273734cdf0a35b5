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
#define CONFIG_DIRECTORIES 64
#define CONFIG_LIST_FILES 32

/* Whether a name may lead through a symbolic link when it is read; an upload never does. */
enum config_symlinks { CONFIG_SYMLINKS_INSIDE, CONFIG_SYMLINKS_ANY, CONFIG_SYMLINKS_NONE };

/* What becomes of an upload to a name that is taken. */
enum config_exists { CONFIG_EXISTS_OVERWRITE, CONFIG_EXISTS_REFUSE, CONFIG_EXISTS_VERSION, CONFIG_EXISTS_SAME };

/* In `without`, beside the UDP_NO_* bits. */
#define CONFIG_NO_OPENAT2 0x10000
#define CONFIG_NO_SECCOMP 0x20000
#define CONFIG_NO_LANDLOCK 0x40000
#define CONFIG_NO_EPOLL 0x80000

struct config {
	const char *program;      /* what it was called as, for messages */
	const char *directory;    /* the first one */
	const char *directories[CONFIG_DIRECTORIES];
	int ndirectories;
	const char *roots;        /* --root: candidates with tokens, instead of directories; NULL: none */
	const char *addresses[CONFIG_ADDRESSES]; /* as given, see addr_split(); none: every address of both families */
	int naddresses;
	const char *interface;    /* listen on this one only, NULL: on all */
	const char *port;         /* number or service name for addresses without one; NULL: 69 */
	int family;               /* AF_UNSPEC, AF_INET or AF_INET6 */
	/* tftp-hpa: called as in.tftpd or with -l, -L or -s. Its permission rules, its names, its defaults. */
	bool hpa;
	bool listen, foreground;  /* -l, -L: standalone; without -L in the background */
	bool secure;              /* -s: the directory is the root of all names, and of the process where that is allowed */
	bool jail;                /* as secure, but of names only */
	bool rooted;              /* names that do not begin with a slash get one */
	const char *prefix;       /* put before every name, NULL: nothing */
	const char *user;         /* whom to run as; NULL: the default */
	bool permissive;          /* no rule but the kernel's; always without hpa */
	int umask;                /* for new files, -1: as inherited */
	const char *pidfile;
	mono_t idle;              /* inherited sockets: exit after so long without a request, 0: never */
	mono_t first;             /* retransmit interval before anything is measured, 0: the default */
	const char *map_file;     /* rename rules */
	unsigned map_steps;       /* 0: the default */
	unsigned refuse;          /* OPTION_BIT()s that are never granted */
	bool create;              /* uploads are allowed, new names included */
	bool read_only, reject_all;
	bool tolerant;            /* names: try what the client may have meant */
	bool strict_given;
	enum config_symlinks symlinks;
	bool symlinks_given;
	enum config_exists on_exists;
	unsigned keep;            /* versions of a replaced file, 0: all */
	bool mkdir;               /* uploads make the directories they need */
	uint64_t max_upload;      /* bytes, UINT64_MAX: no limit */
	uint64_t min_free;        /* bytes of the file system that uploads leave free */
	const char *upload_name;  /* template, NULL: the name that was asked for */
	bool keep_partial;
	bool no_sync;             /* an upload is acknowledged before it is on disk */
	uint32_t blksize_max;     /* 0: what the interface's MTU carries without fragments */
	uint32_t windowsize_max;  /* blocks */
	uint32_t window_bytes;
	mono_t give_up;           /* silence of a peer that was there */
	unsigned tries;           /* timeouts of one that never was */
	unsigned max_transfers;   /* at once */
	unsigned max_per_client;  /* of them for one address, 0: no limit */
	uint64_t rate, rate_per_client; /* bytes per second, 0: no limit */
	struct access access;     /* who may ask, as far as the command line says it; the rest is in these files */
	struct { enum access_list list; const char *path; } list_files[CONFIG_LIST_FILES];
	int nlist_files;
	char access_error[ACCESS_ERROR_MAX];
	bool single_port;         /* transfers stay on the listening socket */
	bool relaxed_peer;        /* a client's port may change during a transfer */
	unsigned duplicate;       /* further copies of each packet of a transfer */
	bool answer_broadcast;    /* requests sent to a broadcast address are served */
	uint16_t port_lo, port_hi; /* local ports of transfers; 0: any */
	unsigned without;         /* UDP_NO_*, CONFIG_NO_*: fast paths and fences to leave out */
	unsigned verbosity;       /* -v: how often; 3 and more tell of each rename rule */
	bool to_stderr;           /* log there even in the background */
	bool systemd;
	enum log_level level;
	const char *log;          /* "stderr", "syslog" or a file; NULL: wherever it suits */
	enum log_format log_format;
	enum { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_CHECK, CONFIG_EXPLAIN, CONFIG_MAP_TEST } action;
	const char *explain[3];   /* peer, "read" or "write", name */
	const char *map_test;     /* file with names */
};

#define CONFIG_ERROR_MAX 512

/*
 * Read the command line into *c, defaults first. Returns 0, or a sysexits.h status with a sentence in `error` that names
 * the word that is wrong. Strings stay where argv has them.
 */
int config_parse(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX]);

/* Whether any upload can be granted. */
bool config_uploads(const struct config *c);

/* Whether transfers take ports that not everybody may bind. */
bool config_low_ports(const struct config *c);

/* Whether it leaves its terminal, as tftp-hpa's -l asks for. */
bool config_background(const struct config *c);

/* What was allocated for it. */
void config_free(struct config *c);

/* The usage text, made from the same table that is parsed by. */
void config_usage(FILE *out);

#endif
