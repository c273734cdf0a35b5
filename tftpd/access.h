/*
 * Who may ask: lists of networks for both families (--allow, --deny, --allow-write). Only decides; makes no system call:
 * lists that are in files are read by lists.c.
 *
 * The most specific network that holds an address decides; of equal ones --deny does. An address in no network is
 * welcome where no list names who is.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>

enum access_list { ACCESS_ALLOW, ACCESS_DENY, ACCESS_ALLOW_WRITE };

struct access_rule {
	struct addr net;
	unsigned bits;
	enum access_list list;
	const char *file;            /* that it was read from, and where in it; NULL: the command line */
	unsigned line;
};

/* Zeroed: everybody may do everything. */
struct access {
	struct access_rule *rules;   /* the most specific first, a denial before its equals */
	size_t n;
	bool only_allowed, only_allowed_write; /* such a list exists, though there may be nobody in it */
};

#define ACCESS_ERROR_MAX 192
#define ACCESS_WHY_MAX 256
#define ACCESS_NETWORKS 16384    /* in all lists together: they are gone through for each request */

/*
 * Add "192.0.2.0/24,2001:db8::/32,..."; an address alone is that host. Returns 0, -EINVAL with a sentence in `error` that
 * names the bad word, or -ENOMEM.
 */
int access_add(struct access *a, enum access_list list, const char *text, char error[ACCESS_ERROR_MAX]);

/*
 * The same for the text of a file, `len` bytes with a NUL behind them: networks with white space or commas between them,
 * what follows a '#' is a comment. The sentence begins with the line. `file` is kept, not copied; a list whose file names
 * nobody exists all the same.
 */
int access_add_text(struct access *a, enum access_list list, const char *file, const char *text, size_t len,
    char error[ACCESS_ERROR_MAX]);

/* All of `from` into `a`, which is overwritten. Returns 0 or -ENOMEM. */
int access_copy(struct access *a, const struct access *from);
void access_free(struct access *a);

/*
 * What the host `peer` may do: for a read --allow and --deny count, for a write --allow-write and --deny, and --allow
 * where there is no --allow-write.
 */
bool access_may_read(const struct access *a, const struct addr *peer);
bool access_may_write(const struct access *a, const struct addr *peer);

/* What decides that, in words, in `text`, which it returns: "--deny 10.0.0.0/8, line 3 of FILE", "not in --allow". */
const char *access_why(const struct access *a, const struct addr *peer, bool write, char text[ACCESS_WHY_MAX]);

#endif
