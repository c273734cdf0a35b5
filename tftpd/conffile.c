/* Reading a file whole, by its name in a directory that was opened before. */
#include "conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
	return 0;
}

void conffile_close(struct conffile *f)
{
	if (f->path != NULL)
		close(f->dir);
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

int conffile_read(const struct conffile *f, char **text, size_t *len)
{
	int fd = openat(f->dir, base_name(f->path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return -errno;
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
