/* Directories for tests, see unit_dir.h. Whatever goes wrong here is the machine's fault and ends the test. */
#include "unit_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int cond, const char *what)
{
	if (cond)
		return;
	perror(what);
	abort();
}

int unit_dir_open(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[512];

	snprintf(path, sizeof(path), "%s/unit-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	must(mkdtemp(path) != NULL, path);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0, path);
	return dir;
}

static DIR *entries(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	must(list != NULL, "opendir");
	return list;
}

void unit_dir_close(int dir)
{
	DIR *list = entries(dir);
	char link[64], path[512];
	const struct dirent *e;

	while ((e = readdir(list)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dir, e->d_name, 0) != 0)
			unlinkat(dir, e->d_name, AT_REMOVEDIR);
	closedir(list);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	must(len > 0, link);
	path[len] = '\0';
	rmdir(path);
	close(dir);
}

void unit_dir_put(int dir, const char *name, const void *bytes, size_t len, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, mode) == 0, name);
	close(fd);
}

int unit_dir_holds(int dir, const char *name, const void *bytes, size_t len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char *buf = malloc(len + 1);
	int same;

	must(buf != NULL, "malloc");
	same = fd >= 0 && read(fd, buf, len + 1) == (ssize_t)len && memcmp(buf, bytes, len) == 0;
	free(buf);
	if (fd >= 0)
		close(fd);
	return same;
}

int unit_dir_count(int dir, const char *prefix, char name[256])
{
	DIR *list = entries(dir);
	const struct dirent *e;
	int n = 0;

	while ((e = readdir(list)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		if (name != NULL)
			snprintf(name, 256, "%s", e->d_name);
	}
	closedir(list);
	return n;
}
