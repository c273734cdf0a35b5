/*
 * A library for LD_PRELOAD that lets the Nth call of one system call fail, in a program that knows nothing of it.
 * What is to fail stands in the file that FAULT_PLAN names, and may change while the program runs:
 *
 *	CALL ERRNO N COUNT SERIAL
 *
 * the Nth to the (N+COUNT-1)th CALL fail with ERRNO; counting begins anew when SERIAL changes. Each failure adds a
 * line to the file that FAULT_MARK names. Only our programs' own calls are seen, not the C library's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* By the kernel's own calls: open and read may be what fails. */
static size_t slurp(const char *path, char *buf, size_t cap)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : syscall(SYS_read, fd, buf, cap - 1);

	if (fd >= 0)
		syscall(SYS_close, fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void note(const char *call)
{
	const char *mark = getenv("FAULT_MARK");
	char line[64];
	int fd, len = snprintf(line, sizeof(line), "%s\n", call);

	if (mark == NULL)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd < 0)
		return;
	syscall(SYS_write, fd, line, (size_t)len);
	syscall(SYS_close, fd);
}

static bool fails(const char *call)
{
	static int serial, calls;
	const char *plan = getenv("FAULT_PLAN");
	char text[128], wanted[32];
	int kept = errno, err, at, count, now;

	if (plan == NULL || slurp(plan, text, sizeof(text)) == 0 ||
	    sscanf(text, "%31s %d %d %d %d", wanted, &err, &at, &count, &now) != 5 || strcmp(wanted, call) != 0) {
		errno = kept;
		return false;
	}
	calls = now == serial ? calls + 1 : 1;
	serial = now;
	errno = kept;
	if (calls < at || calls >= at + count)
		return false;
	note(call);
	errno = err;
	return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Every call of one shape: its own arguments go on to the real one. */
#define INTERPOSE(type, name, params, args) \
	type name params; \
	type name params \
	{ \
		return fails(#name) ? -1 : REAL(name) args; \
	}

INTERPOSE(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
INTERPOSE(ssize_t, pread, (int fd, void *buf, size_t n, off_t off), (fd, buf, n, off))
INTERPOSE(ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
INTERPOSE(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
INTERPOSE(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t off), (fd, buf, n, off))
INTERPOSE(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
INTERPOSE(int, fsync, (int fd), (fd))
INTERPOSE(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
INTERPOSE(int, linkat, (int from, const char *old, int to, const char *new, int flags), (from, old, to, new, flags))
INTERPOSE(ssize_t, sendto, (int fd, const void *buf, size_t n, int flags, const struct sockaddr *to, socklen_t len),
    (fd, buf, n, flags, to, len))
INTERPOSE(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
INTERPOSE(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags))
INTERPOSE(ssize_t, recvfrom, (int fd, void *buf, size_t n, int flags, struct sockaddr *from, socklen_t *len),
    (fd, buf, n, flags, from, len))
INTERPOSE(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t), (fd, m, n, flags, t))
INTERPOSE(int, socket, (int family, int type, int protocol), (family, type, protocol))
INTERPOSE(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len))
INTERPOSE(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
    (fd, level, name, value, len))
INTERPOSE(int, getsockname, (int fd, struct sockaddr *a, socklen_t *len), (fd, a, len))
INTERPOSE(int, fstat, (int fd, struct stat *st), (fd, st))
INTERPOSE(int, fchmod, (int fd, mode_t mode), (fd, mode))
INTERPOSE(int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s), (p, n, t, s))
INTERPOSE(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags))

/* These two take a further argument now and then. */
int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return fails("openat") ? -1 : REAL(openat)(dir, path, flags, mode);
}

/* What _FORTIFY_SOURCE makes of it without O_CREAT. */
int __openat_2(int dir, const char *path, int flags);
int __openat_2(int dir, const char *path, int flags)
{
	return fails("openat") ? -1 : REAL(__openat_2)(dir, path, flags);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fails("fcntl") ? -1 : REAL(fcntl)(fd, cmd, arg);
}

/* openat2 has no wrapper in this C library; of what goes through syscall() only that is of interest. */
long syscall(long number, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && fails("openat2"))
		return -1;
	return ((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
