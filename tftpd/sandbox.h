/*
 * What the process can still do once it serves, whatever a request makes of it: its own system calls and nothing beneath
 * other directories than those that are served.
 *
 * Three layers, each of which may be missing: no_new_privs and no capabilities; Landlock, for the file system and TCP;
 * a seccomp filter that ends the process at any system call which is not on its list. Not what gives up root: privs.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#define SANDBOX_DIRS 192

enum { SANDBOX_NO_SECCOMP = 1, SANDBOX_NO_LANDLOCK = 2, SANDBOX_KEEP_PORTS = 4 };

/* What files beneath a directory may be used for. */
enum sandbox_use {
	SANDBOX_READ,
	SANDBOX_APPEND,   /* a log: made anew, written */
	SANDBOX_REMOVE,   /* a pid file: removed */
	SANDBOX_WRITE,    /* uploads: made, written, renamed, removed, with their directories */
};

struct sandbox {
	unsigned without;  /* SANDBOX_NO_*; SANDBOX_KEEP_PORTS keeps the capability for ports below 1024 */
	struct { int fd; enum sandbox_use use; } dirs[SANDBOX_DIRS];
	size_t ndirs;
};

/* Add a directory by a descriptor, which must stay open until sandbox_enter; -1 is no directory. */
void sandbox_allow(struct sandbox *b, int dir, enum sandbox_use use);

/*
 * The first layer alone, for whoever has just become somebody else than root and kept them (PR_SET_KEEPCAPS): no
 * capability, or with SANDBOX_KEEP_PORTS only that one. 0 or -errno.
 */
int sandbox_drop_capabilities(unsigned without);

/* What could not be had, for the log. */
struct sandbox_result {
	int capabilities, landlock, seccomp;  /* 0, or -errno */
};

/*
 * Enter it: for this thread and those it will start. There is no way back. Returns 0, or -errno when not even
 * no_new_privs could be had; a layer that this kernel does not have is only told in *r.
 */
int sandbox_enter(const struct sandbox *b, struct sandbox_result *r);

#endif
