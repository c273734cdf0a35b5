/*
 * The only place that opens a client's name: always beneath the root, never through a magic link, never something that
 * can block.
 */
#ifndef PATH_H
#define PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define PATH_NAME_MAX 1024 /* longer names are refused; no boot program knows one */

/* Whether symbolic links are followed when a name is read. An upload follows none. */
enum path_links {
	PATH_LINKS_INSIDE, /* if what they lead to is beneath the root */
	PATH_LINKS_ANY,    /* wherever they lead; ".." is taken out of the name before it is opened */
	PATH_LINKS_NONE,
};

struct path_root {
	int fd;
	bool no_openat2;       /* the kernel, or a container's filter, does not have it: names are walked by hand */
	bool in_root;          /* as in a chroot: ".." stops at the root, an absolute link begins there */
	enum path_links links;
	/* What the directory is called, as it was named and in full; NULL: not known. A link that begins so leads inside. */
	const char *called[2];
};

/* Why a name cannot be opened, where errno has no word for it. Beyond any errno, negative like all errors here. */
enum {
	PATH_DIRECTORY = -200000,
	PATH_SPECIAL,
	PATH_EMPTY,
	PATH_TOO_LONG,
	PATH_RESERVED,
	PATH_LINK,
	PATH_NOT_READABLE,   /* tftp-hpa's rule: not o+r */
	PATH_NOT_WRITABLE,   /* and not o+w */
	PATH_NOT_ABSOLUTE,   /* tftp-hpa without -s */
	PATH_FORBIDDEN,      /* in none of its directories, or "." or ".." on the way */
	PATH_EXISTS,
	PATH_NO_CREATE,      /* there is no such file, and uploads may only replace */
	PATH_NO_UPLOADS,     /* no uploads at all */
	PATH_REJECTED,       /* --reject-all */
};

/*
 * Open the directory that is served; the other fields are set already, no_openat2 too where it shall not be used.
 * Returns 0 or -errno.
 */
int path_root_open(struct path_root *root, const char *directory);
void path_root_close(struct path_root *root);

/* What is left of an absolute path behind the directory itself, "" or from its slash on; NULL: it does not begin so. */
const char *path_behind_root(const struct path_root *root, const char *path);

/* A directory beneath a root as a root of its own, for path_root_close. Returns 0 or an error as below. */
int path_root_below(const struct path_root *root, const char *name, struct path_root *below);

/*
 * Open a regular file for reading. Leading slashes are dropped: "/x" is "x". Returns 0 with *fd (the caller's to close)
 * and what fstat says of it, or -errno or PATH_*. -EXDEV: the name leads out.
 */
int path_open_read(const struct path_root *root, const char *name, int *fd, struct stat *st);

/* Open a directory beneath the root, "" being the root itself, to list it. Returns a descriptor or an error. */
int path_open_dir(const struct path_root *root, const char *name);

/* Where an upload goes. */
struct path_target {
	int dir;                  /* its directory, the caller's to close */
	char base[NAME_MAX + 1];  /* last component of the name */
	bool exists;              /* a regular file has the name already */
	bool in_place;            /* it can be written, but its directory cannot: no temporary name beside it */
	struct stat st;           /* if it exists */
};

/*
 * Find the place for an upload. A file that may not be written, a link, a directory or anything else in its place is an
 * error, and so is a link on the way. With `make` missing directories are made. Returns 0 or as above.
 */
int path_open_target(const struct path_root *root, const char *name, bool make, struct path_target *target);

/* Whether path_open_target could make the directories that `name` lacks: 0 or an error as from there. */
int path_may_make(const struct path_root *root, const char *name);

/* The ERROR code for such a failure, and in *text what to tell the peer; `write` says which way it wanted to go. */
uint16_t path_refusal(int err, bool write, const char **text);

/*
 * For the log, why reading `name` failed with `err`, -ENOENT, -EXDEV, -ELOOP or -EACCES, where the name alone does not
 * show it: a link on the way and where it leads, or what may not be read and its mode. False: nothing is to be said.
 */
bool path_blame(const struct path_root *root, const char *name, int err, char *text, size_t cap);

/* The same for the log: what the kernel or the rule says. */
const char *path_reason(int err);

#endif
