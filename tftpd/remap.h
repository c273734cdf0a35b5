/*
 * Rename rules, tftp-hpa's language: one rule per line, `operation regex [replacement]`, run from the top over the
 * requested name before anything is looked up.
 *
 * Pure: text in, text out. Reading the file, knowing the peer and asking whether a name can be served are the caller's.
 */
#ifndef REMAP_H
#define REMAP_H

#include <stdbool.h>
#include <stddef.h>

#define REMAP_NAME_MAX 4096  /* longest name on its way through the rules, NUL included */
#define REMAP_ERROR_MAX 256
#define REMAP_STEPS 4096     /* rules tried for one name, unless told otherwise */

struct remap;

/*
 * Read `len` bytes of rules. Returns 0 and *out (the caller's, for remap_free), or -1, *out NULL and in `error` the line
 * and what is wrong with it. No rules at all is not an error.
 */
int remap_parse(struct remap **out, const char *text, size_t len, char error[REMAP_ERROR_MAX]);
void remap_free(struct remap *r); /* NULL is fine */

/* How many rules there are, labels included. */
size_t remap_count(const struct remap *r);

/* One request, as the rules see it. */
struct remap_request {
	bool write;                /* PUT */
	bool v6;                   /* the peer is IPv6; an IPv4-mapped address counts as IPv4 */
	const char *ip;            /* \i */
	const char *hex;           /* \x */
	const char *mac;           /* \m, "" if unknown */
	unsigned max_steps;        /* 0: REMAP_STEPS */
	/* Whether this name could be transferred, for E; NULL: yes. */
	bool (*servable)(void *arg, const char *name);
	/* Told of every rule that matched: its line, what it did and the name after it. May be NULL. */
	void (*step)(void *arg, unsigned line, const char *what, const char *name);
	void *arg;                 /* for both */
};

enum {
	REMAP_OK = 0,
	REMAP_REFUSED = -1,        /* an `a` rule: text is its message, "" for the default words */
	REMAP_LOOP = -2,           /* too many steps */
	REMAP_LABEL = -3,          /* a jump to a label that is not there; text is the label */
	REMAP_LONG = -4,           /* the name grew beyond REMAP_NAME_MAX */
};

struct remap_result {
	unsigned line;             /* of the rule that ended it, 0: none did */
	char text[REMAP_NAME_MAX]; /* the new name, or see the code */
};

/* Run the rules over `name`. Returns one of the codes above. */
int remap_run(const struct remap *r, const struct remap_request *q, const char *name, struct remap_result *out);

#endif
