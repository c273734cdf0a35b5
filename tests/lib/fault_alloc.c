/* See fault_alloc.h. */
#include "fault_alloc.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
int __wrap_asprintf(char **s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **s, int flag, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);

/* Threads allocate and free beside the test. */
static _Atomic unsigned left;
static _Atomic bool armed, goes_on, hit;
static _Atomic long live;

void fault_alloc_fail(unsigned n, bool onwards)
{
	left = n;
	armed = n > 0;
	goes_on = onwards;
	hit = false;
}

bool fault_alloc_hit(void)
{
	return hit;
}

long fault_alloc_live(void)
{
	return live;
}

int fault_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static bool refuse(void)
{
	/* one of two that come at the same time is the one */
	if (!armed || (left > 0 && --left > 0) || (!goes_on && !atomic_exchange(&armed, false)))
		return false;
	hit = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *__wrap_malloc(size_t n)
{
	return refuse() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
	if (refuse())
		return NULL;
	if (p != NULL)
		return __real_realloc(p, n);
	return counted(__real_realloc(NULL, n));
}

char *__wrap_strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	char *copy = __wrap_malloc(len);

	return copy != NULL ? memcpy(copy, s, len) : NULL;
}

static int print(char **s, const char *fmt, va_list ap)
{
	int n = refuse() ? -1 : vasprintf(s, fmt, ap);

	live += n >= 0;
	return n;
}

int __wrap_asprintf(char **s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = print(s, fmt, ap);
	va_end(ap);
	return n;
}

/* What _FORTIFY_SOURCE makes of it. */
int __wrap___asprintf_chk(char **s, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	(void)flag;
	va_start(ap, fmt);
	n = print(s, fmt, ap);
	va_end(ap);
	return n;
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	return refuse() ? MAP_FAILED : __real_mmap(at, len, prot, flags, fd, off);
}
