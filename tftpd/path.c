/*
 * Names from the wire, opened beneath the root by openat2(2): the kernel refuses whatever would climb out, a link
 * swapped in at the last moment included. Where openat2 is missing, the same walk is done by hand, one component and one
 * descriptor at a time. Everything else about a file is asked of the descriptor.
 */
#include "path.h"

#include "packet.h"
#include "store_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/openat2.h, which not every libc's headers can reach. The numbers are ABI. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
struct how {
	uint64_t flags, mode, resolve;
};
#define NO_MAGICLINKS 0x02
#define NO_SYMLINKS 0x04
#define BENEATH 0x08
#define IN_ROOT 0x10

static int openat2_call(int dir, const char *name, int flags, uint64_t resolve)
{
	struct how how = {.flags = (uint64_t)flags, .resolve = resolve | NO_MAGICLINKS};

	/* EAGAIN: something was renamed while ".." was looked at. */
	for (int tries = 0; tries < 8; tries++) {
		long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

const char *path_behind_root(const struct path_root *root, const char *path)
{
	while (path[0] == '/' && path[1] == '/')
		path++;
	for (size_t i = 0; i < sizeof(root->called) / sizeof(root->called[0]); i++) {
		const char *name = root->called[i];
		size_t len = name != NULL ? strlen(name) : 0;

		while (len > 0 && name[len - 1] == '/')
			len--;
		if (len > 0 && strncmp(path, name, len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return path + len;
	}
	return NULL;
}

/* The walk by hand. */

#define WALK_DEPTH 128
#define WALK_LINKS 40

/*
 * No ".." is ever given to the kernel and no link is ever followed by it: ".." goes back to a descriptor that was opened
 * on the way down, and a link's text is put before the rest of the name. So nothing can be swapped in.
 */
struct walk {
	const struct path_root *root;
	enum path_links links;
	int dirs[WALK_DEPTH]; /* opened on the way down */
	int depth;
	int followed;
	char todo[PATH_NAME_MAX + PATH_MAX + 2];
};

static int here(const struct walk *w)
{
	return w->depth > 0 ? w->dirs[w->depth - 1] : w->root->fd;
}

static void walk_back(struct walk *w, int depth)
{
	while (w->depth > depth)
		close(w->dirs[--w->depth]);
}

static int walk_up(struct walk *w)
{
	if (w->depth == 0)
		return w->root->in_root ? 0 : -EXDEV;
	walk_back(w, w->depth - 1);
	return 0;
}

/* Put the link's text before what is left of the name. */
static int walk_link(struct walk *w, int fd, const char *rest)
{
	char text[PATH_MAX];
	const char *target = text;
	ssize_t len = readlinkat(fd, "", text, sizeof(text) - 1);
	bool more = *rest != '\0'; /* it lies where the link's text goes */

	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (w->links == PATH_LINKS_NONE || ++w->followed > WALK_LINKS)
		return -ELOOP;
	if (target[0] == '/') {
		if (!w->root->in_root)
			target = path_behind_root(w->root, target);
		if (target == NULL)
			return -EXDEV;
		walk_back(w, 0);
		len = (ssize_t)strlen(target);
	}
	if ((size_t)len + strlen(rest) + 2 > sizeof(w->todo))
		return -ENAMETOOLONG;
	memmove(w->todo + len + more, rest, strlen(rest) + 1);
	memcpy(w->todo, target, (size_t)len);
	if (more)
		w->todo[len] = '/';
	return 0;
}

/* One component that is a name. 1: go on, 0 or more in *fd when it was the last, negative: an error. */
static int walk_step(struct walk *w, const char *part, const char *rest, bool dir_wanted, int flags, int *fd)
{
	int next = openat(here(w), part, O_PATH | O_NOFOLLOW | O_CLOEXEC), err = 0;
	struct stat st;

	if (next < 0)
		return -errno;
	if (fstat(next, &st) != 0) {
		err = -errno;
	} else if (S_ISLNK(st.st_mode)) {
		err = walk_link(w, next, rest);
	} else if (dir_wanted && !S_ISDIR(st.st_mode)) {
		err = -ENOTDIR;
	} else if (*rest == '\0') {
		*fd = openat(here(w), part, flags | O_NOFOLLOW);
		err = *fd < 0 ? -errno : 0;
		/* It was no link a moment ago: somebody plays games. */
		if (err == -ELOOP)
			err = -EXDEV;
	} else if (w->depth == WALK_DEPTH) {
		err = -ENAMETOOLONG;
	} else {
		w->dirs[w->depth++] = next;
		memmove(w->todo, rest, strlen(rest) + 1);
		return 1;
	}
	close(next);
	return err != 0 || *fd >= 0 ? err : 1;
}

static int walk(struct walk *w, int flags)
{
	char part[NAME_MAX + 1];
	int fd = -1, err = 1;

	while (err == 1) {
		char *at = w->todo + strspn(w->todo, "/"), *rest;
		size_t len = strcspn(at, "/");

		rest = at + len;
		rest += strspn(rest, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (len == 0) {
			fd = openat(here(w), ".", flags);
			return fd >= 0 ? fd : -errno;
		}
		memcpy(part, at, len);
		part[len] = '\0';
		if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0) {
			if (part[1] == '.' && (err = walk_up(w)) != 0)
				return err;
			err = 1;
			memmove(w->todo, rest, strlen(rest) + 1);
			continue;
		}
		err = walk_step(w, part, rest, at[len] == '/', flags, &fd);
	}
	return err < 0 ? err : fd;
}

static int walk_beneath(const struct path_root *root, const char *name, int flags, enum path_links links)
{
	struct walk w;
	int fd;

	if (strlen(name) >= sizeof(w.todo))
		return -ENAMETOOLONG;
	w.root = root;
	w.links = links;
	w.depth = w.followed = 0;
	strcpy(w.todo, name);
	fd = walk(&w, flags);
	walk_back(&w, 0);
	return fd;
}

/* Opening. */

/*
 * Take "." and ".." out of a name. Where links may lead anywhere, ".." behind one must not: it means the name's own
 * parent, as in a URL. False: it climbs out.
 */
static bool collapse(const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1])
{
	size_t len = 0;

	while (*name != '\0') {
		size_t part = strcspn(name, "/");

		if (part == 2 && name[0] == '.' && name[1] == '.') {
			if (len == 0 && !root->in_root)
				return false;
			while (len > 0 && out[--len] != '/')
				;
		} else if (part > 0 && !(part == 1 && name[0] == '.')) {
			if (len > 0)
				out[len++] = '/';
			memcpy(out + len, name, part);
			len += part;
		}
		name += part;
		/* A slash at the end says that a directory is meant, and must go on saying so. */
		if (name[0] == '/' && name[strspn(name, "/")] == '\0' && len > 0)
			out[len++] = '/';
		name += strspn(name, "/");
	}
	if (len == 0)
		out[len++] = '.';
	out[len] = '\0';
	return true;
}

static int open_anywhere(const struct path_root *root, const char *name, int flags)
{
	char plain[PATH_NAME_MAX + 3];
	int fd;

	if (strlen(name) > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	if (!collapse(root, name, plain))
		return -EXDEV;
	if (!root->no_openat2)
		return openat2_call(root->fd, plain, flags, 0);
	fd = openat(root->fd, plain, flags);
	return fd >= 0 ? fd : -errno;
}

static int open_below(const struct path_root *root, const char *name, int flags, enum path_links links)
{
	int fd;

	/* openat2 takes nothing beside O_PATH that would have no meaning. */
	flags |= flags & O_PATH ? O_CLOEXEC : O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	if (links == PATH_LINKS_ANY)
		return open_anywhere(root, name, flags);
	if (root->no_openat2)
		return walk_beneath(root, name, flags, links);
	fd = openat2_call(root->fd, name, flags,
	    (root->in_root ? IN_ROOT : BENEATH) | (links == PATH_LINKS_NONE ? NO_SYMLINKS : 0));
	/* To the kernel every link that begins with a slash leads out, also one that comes back in. */
	return fd == -EXDEV && links == PATH_LINKS_INSIDE && root->called[1] != NULL ?
	    walk_beneath(root, name, flags, links) : fd;
}

int path_root_open(struct path_root *root, const char *directory)
{
	int fd;

	root->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->fd < 0)
		return -errno;
	if (root->no_openat2)
		return 0;
	fd = openat2_call(root->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, BENEATH);
	if (fd >= 0)
		close(fd);
	else if (fd == -ENOSYS || fd == -EPERM)
		root->no_openat2 = true;
	else
		return fd;
	return 0;
}

void path_root_close(struct path_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
}

int path_root_below(const struct path_root *root, const char *name, struct path_root *below)
{
	*below = *root;
	below->called[0] = below->called[1] = NULL;
	below->fd = open_below(root, name, O_PATH | O_DIRECTORY, root->links);
	return below->fd < 0 ? below->fd : 0;
}

/* What every name goes through first. */
static int check(const char **name)
{
	if (strlen(*name) > PATH_NAME_MAX)
		return PATH_TOO_LONG;
	*name += strspn(*name, "/");
	return **name == '\0' ? PATH_EMPTY : 0;
}

static const char *last_component(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

/* Half an upload is nobody's file. */
static bool reserved(const char *base)
{
	return strncmp(base, STORE_TEMP_PREFIX, sizeof(STORE_TEMP_PREFIX) - 1) == 0;
}

static int kind(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return 0;
	if (S_ISLNK(st->st_mode))
		return PATH_LINK;
	return S_ISDIR(st->st_mode) ? PATH_DIRECTORY : PATH_SPECIAL;
}

int path_open_read(const struct path_root *root, const char *name, int *fd, struct stat *st)
{
	int err;

	*fd = -1;
	memset(st, 0, sizeof(*st));
	err = check(&name);
	if (err != 0)
		return err;
	if (reserved(last_component(name)))
		return -ENOENT;
	*fd = open_below(root, name, O_RDONLY, root->links);
	if (*fd < 0)
		return *fd == -ENXIO || *fd == -ENODEV ? PATH_SPECIAL : *fd;
	err = fstat(*fd, st) != 0 ? -errno : kind(st);
	if (err == 0)
		return 0;
	close(*fd);
	*fd = -1;
	return err;
}

int path_open_dir(const struct path_root *root, const char *name)
{
	name += strspn(name, "/");
	return open_below(root, *name == '\0' ? "." : name, O_RDONLY | O_DIRECTORY, root->links);
}

/* Uploads. */

/* Whether the name may be given to a new file: it is free, or a regular file that we may write. */
static int check_target(struct path_target *t)
{
	int err;

	if (fstatat(t->dir, t->base, &t->st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	t->exists = true;
	err = kind(&t->st);
	if (err == 0 && faccessat(t->dir, t->base, W_OK, AT_EACCESS) != 0)
		err = -errno;
	if (err == 0)
		t->in_place = faccessat(t->dir, ".", W_OK | X_OK, AT_EACCESS) != 0;
	return err;
}

/* Open `name`'s directory, which ends at `end`; reading it is needed only to fsync it. */
static int open_parent(const struct path_root *root, const char *name, size_t end)
{
	char parent[PATH_NAME_MAX + 2];
	int dir;

	memcpy(parent, name, end);
	strcpy(parent + end, ".");
	dir = open_below(root, parent, O_RDONLY | O_DIRECTORY, PATH_LINKS_NONE);
	return dir == -EACCES ? open_below(root, parent, O_PATH | O_DIRECTORY, PATH_LINKS_NONE) : dir;
}

/* Make the directories on the way to name[end], from the top, each beneath the one before. */
static int make_parents(const struct path_root *root, const char *name, size_t end)
{
	for (size_t at = 0; at < end;) {
		size_t len = strcspn(name + at, "/"), next = at + len + strspn(name + at + len, "/");
		char part[NAME_MAX + 1];
		int dir, err = 0;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, name + at, len);
		part[len] = '\0';
		if (strcmp(part, ".") != 0 && strcmp(part, "..") != 0) {
			dir = open_parent(root, name, at);
			if (dir < 0)
				return dir;
			if (mkdirat(dir, part, 0777) != 0 && errno != EEXIST)
				err = -errno;
			close(dir);
		}
		if (err != 0)
			return err;
		at = next;
	}
	return 0;
}

int path_open_target(const struct path_root *root, const char *name, bool make, struct path_target *t)
{
	const char *last;
	size_t end;
	int err;

	memset(t, 0, sizeof(*t));
	t->dir = -1;
	err = check(&name);
	if (err != 0)
		return err;
	last = last_component(name);
	end = (size_t)(last - name);
	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return PATH_DIRECTORY;
	if (reserved(last))
		return PATH_RESERVED;
	if (strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(t->base, last);
	t->dir = open_parent(root, name, end);
	if (t->dir == -ENOENT && make) {
		err = make_parents(root, name, end);
		t->dir = err != 0 ? err : open_parent(root, name, end);
	}
	if (t->dir == -ELOOP)
		return PATH_LINK;
	if (t->dir < 0)
		return t->dir;
	err = check_target(t);
	if (err == 0)
		return 0;
	close(t->dir);
	t->dir = -1;
	return err;
}

/* In the last directory of its way that is there. */
int path_may_make(const struct path_root *root, const char *name)
{
	size_t end;
	int dir, err;

	name += strspn(name, "/");
	end = (size_t)(last_component(name) - name);
	while ((dir = open_parent(root, name, end)) == -ENOENT && end > 0) {
		while (end > 0 && name[end - 1] == '/')
			end--;
		while (end > 0 && name[end - 1] != '/')
			end--;
	}
	if (dir < 0)
		return dir == -ELOOP ? PATH_LINK : dir;
	err = faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0 ? 0 : -errno;
	close(dir);
	return err;
}

/* Refusing. */

/* One component on the way: whether it is what the name fails at, and then why, as far as the error did not say that. */
static bool blame(const struct path_root *root, int dir, const char *part, const char *way, bool last, int err,
    char *text, size_t cap)
{
	int fd = open_below(root, way, last && err == -EACCES ? O_RDONLY : O_PATH, root->links);
	char target[256];
	struct stat st;
	ssize_t len;

	if (fd >= 0) {
		if (err == -EACCES && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && faccessat(fd, ".", X_OK, AT_EACCESS) != 0)
			snprintf(text, cap, "the directory \"%.256s\" has mode %04o and uid %u", way,
			    (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
		close(fd);
		return text[0] != '\0';
	}
	len = readlinkat(dir, part, target, sizeof(target) - 1);
	if (len >= 0) {
		target[len] = '\0';
		snprintf(text, cap, "\"%.256s\" is a symbolic link to \"%s\"%s", way, target, err != -ENOENT ? "" :
		    target[0] == '/' && root->in_root ? ", which is not there in the served directory, where it begins here" :
		    ", which is not there");
	} else if (fd == -EACCES && fstatat(dir, part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		snprintf(text, cap, "\"%.256s\" has mode %04o and uid %u", way, (unsigned)st.st_mode & 07777,
		    (unsigned)st.st_uid);
	}
	return true;
}

/* Each component is looked up with all before it: without a bound a name like a/../a/../a would cost thousands of steps. */
#define BLAME_DEPTH 32

bool path_blame(const struct path_root *root, const char *name, int err, char *text, size_t cap)
{
	char way[PATH_NAME_MAX + 1], part[NAME_MAX + 1];
	size_t at = 0;
	bool done = false;

	text[0] = '\0';
	name += strspn(name, "/");
	if (strlen(name) > PATH_NAME_MAX)
		return false;
	for (int depth = 0; !done && name[at] != '\0' && depth < BLAME_DEPTH; depth++) {
		size_t len = strcspn(name + at, "/"), next = at + len + strspn(name + at + len, "/");
		int dir;

		if (len > NAME_MAX)
			break;
		memcpy(part, name + at, len);
		part[len] = '\0';
		memcpy(way, name, at);
		strcpy(way + at, ".");
		dir = open_below(root, way, O_PATH | O_DIRECTORY, root->links);
		if (dir < 0)
			break;
		memcpy(way, name, at + len);
		way[at + len] = '\0';
		done = blame(root, dir, part, way, name[next] == '\0', err, text, cap);
		close(dir);
		at = next;
	}
	return text[0] != '\0';
}

/* U-Boot stops on codes 1 and 2 alone and begins anew on any other, so what is permanent is one of these. */
uint16_t path_refusal(int err, bool write, const char **text)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		*text = write ? "the directory for this file does not exist" : "file not found";
		return ERROR_NOT_FOUND;
	case PATH_NO_CREATE:
		*text = "file not found, and this server takes no new files";
		return ERROR_NOT_FOUND;
	case PATH_NO_UPLOADS:
		*text = "uploads are off on this server";
		return ERROR_ACCESS;
	case PATH_REJECTED:
		*text = "this server takes no requests";
		return ERROR_ACCESS;
	case PATH_EXISTS:
		*text = "a file of this name exists and is not replaced";
		return ERROR_EXISTS;
	case -ENAMETOOLONG:
	case PATH_TOO_LONG:
		*text = "the file name is too long";
		return ERROR_ACCESS;
	case PATH_EMPTY:
		*text = "the request names no file";
		return ERROR_NOT_FOUND;
	case PATH_DIRECTORY:
		*text = "this name is a directory, not a file";
		return ERROR_ACCESS;
	case PATH_SPECIAL:
		*text = "only regular files are served";
		return ERROR_ACCESS;
	case PATH_LINK:
		*text = "uploads do not go through symbolic links";
		return ERROR_ACCESS;
	case PATH_RESERVED:
		*text = "this name is reserved for unfinished uploads";
		return ERROR_ACCESS;
	case PATH_NOT_READABLE:
		*text = "the file must be readable by everybody (o+r)";
		return ERROR_ACCESS;
	case PATH_NOT_WRITABLE:
		*text = "the file must be writable by everybody (o+w)";
		return ERROR_ACCESS;
	case PATH_NOT_ABSOLUTE:
		*text = "only names that begin with a slash are served here";
		return ERROR_ACCESS;
	case PATH_FORBIDDEN:
		*text = "this name lies outside of what is served";
		return ERROR_ACCESS;
	case -EXDEV:
		*text = "the name leads out of the served directory";
		return ERROR_ACCESS;
	case -ELOOP:
		*text = "the name leads through a symbolic link that is not followed";
		return ERROR_ACCESS;
	case -EACCES:
	case -EPERM:
		*text = write ? "permission denied: the server may not write there" : "permission denied: the server may not read it";
		return ERROR_ACCESS;
	case -EROFS:
		*text = "the file system is read-only";
		return ERROR_ACCESS;
	case -ENOSPC:
	case -EDQUOT:
		*text = "disk full";
		return ERROR_DISK_FULL;
	case -EAGAIN:
		*text = "another program holds this file, try again later";
		return ERROR_UNDEFINED;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		*text = "the server is out of resources, try again later";
		return ERROR_UNDEFINED;
	}
	*text = "the server cannot open this file";
	return ERROR_ACCESS;
}

const char *path_reason(int err)
{
	switch (err) {
	case PATH_NOT_READABLE:
		return "not readable by others (chmod o+r, or --permissive)";
	case PATH_NOT_WRITABLE:
		return "not writable by others (chmod o+w, or --permissive)";
	case PATH_NOT_ABSOLUTE:
		return "without --secure names must begin with a slash";
	case PATH_FORBIDDEN:
		return "not beneath one of the directories of the command line";
	case PATH_NO_CREATE:
		return "started without --create";
	case PATH_NO_UPLOADS:
		return "started without --create, or with --read-only";
	case PATH_REJECTED:
		return "started with --reject-all";
	case PATH_EXISTS:
		return "--on-exists does not let it be replaced";
	case PATH_LINK:
		return "a symbolic link; uploads follow none";
	case PATH_RESERVED:
		return "names that begin with " STORE_TEMP_PREFIX " are the server's own";
	case PATH_TOO_LONG:
		return "longer than 1024 bytes";
	case PATH_SPECIAL:
		return "a device, pipe or socket";
	case PATH_DIRECTORY:
		return "a directory";
	case PATH_EMPTY:
		return "an empty name";
	case -EXDEV:
		return "it leads out of the directory, by \"..\" or a symbolic link (--symlinks)";
	case -ELOOP:
		return "a symbolic link that may not be followed (--symlinks), or a circle of them";
	}
	return strerror(-err);
}
