/* Giving up privileges for good: chroot, groups, gid, uid, and a look whether they could be had back. */
#ifndef PRIVS_H
#define PRIVS_H

#include "config.h"

#include <sys/types.h>

#define PRIVS_GROUPS 64

struct privs {
	bool change;        /* there is something to change to */
	bool makeshift;     /* nobody was named, and there is no user of our own: nobody's rights are fewer than root's */
	char user[64];
	uid_t uid;
	gid_t gid;
	gid_t groups[PRIVS_GROUPS];
	int ngroups;
};

/*
 * Find out whom to run as, while /etc can still be read. Returns 0 or a sysexits.h status (EX_NOUSER, EX_OSERR) and a
 * sentence.
 */
int privs_find(struct privs *p, const struct config *c, char error[CONFIG_ERROR_MAX]);

/*
 * Become that user, with the right to bind ports below 1024 if `low_ports`, and with `root` (a descriptor, -1: none) as
 * the process's root directory. *jailed is 1 where that was done, 0 where we are not root, -errno where root may not do
 * it, as in some containers. Returns 0 or a status and a sentence; then the process must end.
 */
int privs_drop(const struct privs *p, int root, bool low_ports, int *jailed, char error[CONFIG_ERROR_MAX]);

/* Whether p changes to a user who may not remove what we can now. */
bool privs_lose(const struct privs *p);

#endif
