/* Going into the background, and a pid file that goes with the process. */
#include "daemon.h"

#include "listen.h"
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/*
 * The pid file lies where the user that we become may not remove it, so a child that stays root does: it waits for the
 * end of its pipe, which is our end however that comes. A file that a successor has written meanwhile is left alone.
 */
static void keep_pidfile(const char *path, int from)
{
	char mine[32], now[32];
	ssize_t n, len = 0;
	sigset_t all;
	int fd;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	while (len < (ssize_t)sizeof(mine) && (n = read(from, mine + len, sizeof(mine) - (size_t)len)) > 0)
		len += n;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	n = fd < 0 ? -1 : read(fd, now, sizeof(now));
	if (len > 0 && n == len && memcmp(mine, now, (size_t)n) == 0)
		unlink(path);
	_exit(0);
}

static int start_keeper(struct daemon *d, const struct server *s, const char *path)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		listen_forget(s);
		if (d->ready >= 0)
			close(d->ready);
		if (fork() == 0)
			keep_pidfile(path, ends[0]);
		_exit(0);
	}
	close(ends[0]);
	d->keeper = ends[1];
	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* "/" is the working directory by the time it is removed, so its own is kept. */
static int open_piddir(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd;

	if (slash == NULL)
		strcpy(dir, ".");
	else if ((size_t)snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path) >= sizeof(dir))
		return -ENAMETOOLONG;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int pid_text(char text[32])
{
	return snprintf(text, 32, "%d\n", (int)getpid());
}

/* A successor may have written another number while we waited for our last transfers; nothing, on a full disk, is ours. */
static bool is_mine(const struct daemon *d, const char *name)
{
	char mine[32], now[32];
	struct stat open, there;
	int len = pid_text(mine);
	ssize_t n;

	if (fstat(d->pidfile, &open) != 0 || fstatat(d->piddir, name, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
	    open.st_dev != there.st_dev || open.st_ino != there.st_ino)
		return false;
	n = pread(d->pidfile, now, sizeof(now), 0);
	return n == 0 || (n == len && memcmp(mine, now, (size_t)n) == 0);
}

void daemon_remove_pidfile(const struct daemon *d, const struct config *c)
{
	const char *slash, *name;

	if (d->piddir < 0)
		return;
	slash = strrchr(c->pidfile, '/');
	name = slash != NULL ? slash + 1 : c->pidfile;
	if (is_mine(d, name))
		unlinkat(d->piddir, name, 0);
	close(d->piddir);
	close(d->pidfile);
}

int daemon_open_pidfile(struct daemon *d, const struct server *s, bool keeper, char error[CONFIG_ERROR_MAX])
{
	const char *path = s->config->pidfile;
	int err = 0;

	if (path == NULL)
		return 0;
	d->pidfile = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (d->pidfile < 0)
		err = -errno;
	else if (keeper)
		err = start_keeper(d, s, path);
	else if ((d->piddir = open_piddir(path)) < 0)
		err = d->piddir;
	if (err == 0)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "cannot write the pid file \"%.128s\": %s", path, strerror(-err));
	return EX_OSERR;
}

void daemon_write_pid(struct daemon *d)
{
	char pid[32];
	int len = pid_text(pid);
	bool wrong = false;

	if (d->pidfile < 0)
		return;
	wrong |= ftruncate(d->pidfile, 0) != 0 || write(d->pidfile, pid, (size_t)len) != len;
	if (d->keeper >= 0)
		wrong |= write(d->keeper, pid, (size_t)len) != len;
	/* A full disk under /run is no reason not to serve. */
	(void)wrong;
	if (d->keeper >= 0)
		close(d->pidfile);
}

/* Threads come later, so this may still fork. */
int daemon_detach(struct daemon *d)
{
	int ends[2], null;
	char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		return -errno;
	if (pid > 0) {
		close(ends[1]);
		/* Nothing of ours must be tidied up twice. */
		_exit(read(ends[0], &byte, 1) == 1 ? EX_OK : EX_OSERR);
	}
	close(ends[0]);
	d->ready = ends[1];
	setsid();
	/* Standard error is whoever's who waits for us to be ready. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	return chdir("/") == 0 ? 0 : -errno;
}

/* Nobody is at the other end of standard error any more, unless --stderr says so. */
void daemon_ready(struct daemon *d, const struct config *c)
{
	if (d->ready < 0)
		return;
	if (write(d->ready, "", 1) == 1 && !logs_to_stderr(c))
		dup2(STDOUT_FILENO, STDERR_FILENO);
	close(d->ready);
	d->ready = -1;
}
