/* Reading a file whole, by its name in a directory that was opened before. */
#include "conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4u << 20)

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* The text of the link that the file is, to be freed; NULL: it is none. */
static char *link_text(const struct conffile *f)
{
	char text[PATH_MAX];
	ssize_t len = readlinkat(f->dir, base_name(f->path), text, sizeof(text));

	return len < 0 ? NULL : strndup(text, (size_t)len);
}

/* A link may lead to where nothing can be opened any more later. One that leads nowhere has nothing to remember. */
static void remember_target(struct conffile *f)
{
	char *real = f->link != NULL ? realpath(f->path, NULL) : NULL;
	const char *name;

	if (real == NULL)
		return;
	name = base_name(real);
	if (strlen(name) <= NAME_MAX) {
		strcpy(f->target, name);
		real[name - real] = '\0';
		f->target_dir = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	free(real);
}

int conffile_open(struct conffile *f, const char *path)
{
	size_t len = (size_t)(base_name(path) - path);
	char dir[PATH_MAX];
	int fd;

	*f = (struct conffile){.path = NULL};
	if (len >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = '\0';
	fd = open(len > 0 ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	f->path = path;
	f->dir = fd;
	f->link = link_text(f);
	f->target_dir = -1;
	remember_target(f);
	return 0;
}

void conffile_close(struct conffile *f)
{
	if (f->path != NULL)
		close(f->dir);
	if (f->path != NULL && f->target_dir >= 0)
		close(f->target_dir);
	free(f->link);
	*f = (struct conffile){.path = NULL};
}

/* /dev/null is a file without anything in it; a pipe would be empty the second time. */
static int check_kind(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))
		return 0;
	return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

static int read_all(int fd, char *text, size_t *len)
{
	ssize_t got;

	while ((got = read(fd, text + *len, FILE_MAX - *len)) != 0) {
		if (got < 0 && errno != EINTR)
			return -errno;
		*len += got > 0 ? (size_t)got : 0;
		if (*len == FILE_MAX)
			return -EFBIG;
	}
	text[*len] = '\0';
	return 0;
}

/* Whether the file that was opened as the link's target is still what the link leads to, as far as that can be seen. */
static bool is_target(const struct conffile *f, int fd)
{
	struct stat ours, now;
	char *text = link_text(f);
	bool same = text != NULL && strcmp(text, f->link) == 0;

	free(text);
	if (!same || fstat(fd, &ours) != 0)
		return false;
	return fstatat(f->dir, base_name(f->path), &now, 0) != 0 || (now.st_dev == ours.st_dev && now.st_ino == ours.st_ino);
}

/* By its name, or where that is a link that cannot be followed any more, what it leads to. */
static int open_file(const struct conffile *f)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = openat(f->dir, base_name(f->path), flags), err = -errno;

	if (fd >= 0)
		return fd;
	fd = f->target_dir >= 0 ? openat(f->target_dir, f->target, flags) : -1;
	if (fd < 0 || is_target(f, fd))
		return fd < 0 ? err : fd;
	close(fd);
	return err;
}

int conffile_read(const struct conffile *f, char **text, size_t *len)
{
	int fd = open_file(f), err;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return fd;
	err = check_kind(fd);
	if (err == 0 && (*text = malloc(FILE_MAX)) == NULL)
		err = -ENOMEM;
	if (err == 0)
		err = read_all(fd, *text, len);
	close(fd);
	if (err == 0)
		return 0;
	free(*text);
	*text = NULL;
	return err;
}
