/* Sorted hashes of the names in a few directories, good for as long as a directory's times of change stay the same. */
#include "listing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORIES 16

struct listing {
	dev_t dev;
	ino_t ino;               /* 0: not in use */
	struct timespec modified, changed;
	unsigned long used;      /* when, counted in requests */
	uint32_t *hashes;        /* of the names in lower case, sorted */
	size_t n;
};

struct listings {
	int settled;             /* seconds */
	unsigned long now;
	struct listing dirs[DIRECTORIES];
};

struct listings *listings_new(int settled)
{
	struct listings *l = calloc(1, sizeof(*l));

	if (l != NULL)
		l->settled = settled;
	return l;
}

void listings_del(struct listings *l)
{
	for (size_t i = 0; l != NULL && i < DIRECTORIES; i++)
		free(l->dirs[i].hashes);
	free(l);
}

/* FNV-1a. Two names of one hash cost a look at the directory, no more. */
static uint32_t hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint32_t)tolower((unsigned char)name[i])) * 16777619u;
	return h;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The place of this directory, or the one that was not asked for the longest. */
static struct listing *place(struct listings *l, const struct stat *st)
{
	struct listing *oldest = &l->dirs[0];

	for (size_t i = 0; i < DIRECTORIES; i++) {
		if (l->dirs[i].ino == st->st_ino && l->dirs[i].dev == st->st_dev)
			return &l->dirs[i];
		if (l->dirs[i].used < oldest->used)
			oldest = &l->dirs[i];
	}
	return oldest;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The time of modification alone can be put back to what it was: rsync and tar do. */
static bool fresh(const struct listing *d, const struct stat *st)
{
	return d->ino == st->st_ino && d->dev == st->st_dev && same_time(&d->modified, &st->st_mtim) &&
	    same_time(&d->changed, &st->st_ctim);
}

/* False: out of memory. */
static bool add_name(struct listing *d, size_t *cap, const char *name)
{
	if (d->n == *cap) {
		size_t more = *cap > 0 ? 2 * *cap : 64;
		uint32_t *hashes = realloc(d->hashes, more * sizeof(*hashes));

		if (hashes == NULL)
			return false;
		d->hashes = hashes;
		*cap = more;
	}
	d->hashes[d->n++] = hash(name, strlen(name));
	return true;
}

/*
 * Read it. False: nothing can be remembered of it, for want of memory or permission, or because it cannot be read to its
 * end: a name behind the break would pass for one that is missing.
 */
static bool read_names(struct listing *d, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;
	size_t cap = 0;
	bool well;

	if (dir == NULL) {
		if (copy >= 0)
			close(copy);
		return false;
	}
	do {
		errno = 0;
		e = readdir(dir);
		well = e != NULL ? add_name(d, &cap, e->d_name) : errno == 0;
	} while (well && e != NULL && d->n < LISTING_ENTRIES);
	closedir(dir);
	if (!well || d->n == 0) /* "." at least is there, unless the directory is gone */
		return false;
	qsort(d->hashes, d->n, sizeof(*d->hashes), by_value);
	return true;
}

/* By the time of change as well, which nobody can put back. */
static bool settled(const struct listings *l, const struct stat *st)
{
	time_t last = st->st_ctim.tv_sec > st->st_mtim.tv_sec ? st->st_ctim.tv_sec : st->st_mtim.tv_sec;

	return time(NULL) - last >= l->settled;
}

static bool learn(const struct listings *l, struct listing *d, int fd, const struct stat *st)
{
	free(d->hashes);
	*d = (struct listing){.used = d->used};
	if (!settled(l, st) || !read_names(d, fd))
		return false;
	d->dev = st->st_dev;
	d->ino = st->st_ino;
	d->modified = st->st_mtim;
	d->changed = st->st_ctim;
	return true;
}

bool listings_lack(struct listings *l, int fd, const char *name, size_t len)
{
	uint32_t wanted = hash(name, len);
	struct listing *d;
	struct stat st;
	bool known;

	if (l == NULL || fstat(fd, &st) != 0)
		return false;
	d = place(l, &st);
	d->used = ++l->now;
	known = fresh(d, &st) || learn(l, d, fd, &st);
	lseek(fd, 0, SEEK_SET);
	return known && bsearch(&wanted, d->hashes, d->n, sizeof(wanted), by_value) == NULL;
}
