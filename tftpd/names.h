/*
 * From the name in a request to a file: rename rules, the directories that are looked in, what a client may have meant,
 * and the permission rule. Opening itself is path.c's.
 */
#ifndef NAMES_H
#define NAMES_H

#include "addr.h"
#include "conffile.h"
#include "config.h"
#include "listing.h"
#include "path.h"
#include "remap.h"

#include <stdbool.h>
#include <sys/stat.h>

/* One place to look in. */
struct names_root {
	struct path_root base;
	char *label;          /* as the administrator wrote it */
	char *full;           /* the same from / on, without links; NULL: not known */
	char *prefix;         /* a list of directories, as tftp-hpa has it: what a name must begin with; else NULL */
	char *below;          /* --root with tokens: the directory beneath base, to be filled in; else NULL */
};

struct names {
	const struct config *config;
	struct names_root roots[CONFIG_DIRECTORIES];
	int nroots;
	char left_out[CONFIG_ERROR_MAX]; /* what is wrong with directories of a list that is served without them; "": nothing */
	struct remap *rules;  /* NULL: none */
	struct conffile rule_file;
	struct listings *listings; /* what directories were found to hold; NULL: that is not remembered */
	bool wants_mac;       /* some rule or directory asks for the client's MAC */
};

/*
 * Open the directories and read the rules. Returns 0, or a sysexits.h status and a sentence in `error`. Then, or after a
 * failure, names_close.
 */
int names_open(struct names *n, const struct config *c, char error[CONFIG_ERROR_MAX]);
void names_close(struct names *n);

/* Read the rule file again. Returns 0, or a status, the reason in `error`, and the old rules stay. */
int names_reload(struct names *n, char error[CONFIG_ERROR_MAX]);

/*
 * The directory that is served and has been removed since it was opened: another one of that name is not it. NULL: none.
 */
const char *names_gone(const struct names *n);

/* Whether some directory is walked without openat2. */
bool names_by_hand(const struct names *n);

/*
 * What keeps the user that this process runs as from serving directory `i`, as far as the directory itself shows it, in
 * words that say what to do; NULL: nothing does.
 */
#define NAMES_TROUBLE_MAX 512
const char *names_trouble(const struct names *n, int i, char text[NAMES_TROUBLE_MAX]);

/* One request. */
struct names_ask {
	const char *name;
	const struct addr *peer;
	bool write;
	bool dry;             /* only look: no directory is made for an upload */
	/* Told of each step on the way; NULL: nobody wants to know. `text` may hold bytes from the wire. */
	void (*note)(void *arg, const char *what, const char *text);
	void *arg;
};

enum { NAMES_REFUSED = -210000, NAMES_RULES }; /* beside -errno and PATH_*: by an `a` rule; the rules went wrong */

struct names_found {
	char name[REMAP_NAME_MAX];   /* the name after the rules and whatever helped to find it */
	char how[64];                /* what helped, beyond the rules: "slashes, case"; "": nothing was needed */
	char text[256];              /* for the peer, where a rule or the rules refused */
	char detail[512];            /* for the log */
	int fd;                      /* a file to read, and what it is; the caller's to close */
	struct stat st;
	struct path_target target;   /* a place to write; its dir is the caller's to close */
};

/* Find a file to read, or the place for an upload. Returns 0 or an error; then there is nothing to close. */
int names_find(const struct names *n, const struct names_ask *ask, struct names_found *found);

/* After "not found": the name of a file that may have been meant, and why, for the log. False: none comes near. */
bool names_suggest(const struct names *n, const struct names_ask *ask, const char *name, char out[PATH_NAME_MAX + 1],
    const char **why);

/* After another error: why, as far as the error and the name do not show it; see path_blame. */
bool names_blame(const struct names *n, const struct names_ask *ask, const char *name, int err, char *text, size_t cap);

/* Run only the rules. Returns a REMAP_ code; NULL rules leave the name. */
int names_map(const struct names *n, const struct names_ask *ask, struct remap_result *out);

/* What is wrong with a template of {words}, or NULL; `words` are those it may use, each NUL-terminated, "" ends them. */
const char *names_template_check(const char *text, const char *words);

/* The MAC of an address in the kernel's neighbour table, "aa-bb-cc-dd-ee-ff"; "" if it is not there. */
void names_mac(const struct addr *peer, char out[18]);

#endif
