/*
 * Who may ask: lists of networks for both families (--allow, --deny, --allow-write). Only decides; makes no system call.
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
};

/* Zeroed: everybody may do everything. */
struct access {
	struct access_rule *rules;   /* the most specific first, a denial before its equals */
	size_t n;
	bool only_allowed, only_allowed_write; /* such a list exists */
};

#define ACCESS_ERROR_MAX 160

/*
 * Add "192.0.2.0/24,2001:db8::/32,..."; an address alone is that host. Returns 0, -EINVAL with a sentence in `error` that
 * names the bad word, or -ENOMEM.
 */
int access_add(struct access *a, enum access_list list, const char *text, char error[ACCESS_ERROR_MAX]);
void access_free(struct access *a);

/*
 * What the host `peer` may do: for a read --allow and --deny count, for a write --allow-write and --deny, and --allow
 * where there is no --allow-write.
 */
bool access_may_read(const struct access *a, const struct addr *peer);
bool access_may_write(const struct access *a, const struct addr *peer);

#endif
