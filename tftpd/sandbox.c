/*
 * no_new_privs, capabilities, Landlock, seccomp: by raw system calls, with the kernel's numbers written out, because not
 * every libc's headers reach the kernel's. All of them are ABI.
 */
#include "sandbox.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

void sandbox_allow(struct sandbox *b, int dir, enum sandbox_use use)
{
	if (dir < 0 || b->ndirs == SANDBOX_DIRS)
		return;
	b->dirs[b->ndirs].fd = dir;
	b->dirs[b->ndirs].use = use;
	b->ndirs++;
}

/* Capabilities. */

#define CAPABILITY_V3 0x20080522
#define CAP_NET_BIND_SERVICE 10

/* Root keeps its own: without them it could not read what belongs to others, and it was told to stay root. */
int sandbox_drop_capabilities(unsigned without)
{
	struct { uint32_t version; int pid; } header = {CAPABILITY_V3, 0};
	struct { uint32_t effective, permitted, inheritable; } data[2] = {{0, 0, 0}, {0, 0, 0}};

	if (geteuid() == 0)
		return 0;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (without & SANDBOX_KEEP_PORTS) {
		struct { uint32_t effective, permitted, inheritable; } have[2];

		if (syscall(SYS_capget, &header, have) == 0)
			data[0].effective = data[0].permitted = have[0].permitted & (1u << CAP_NET_BIND_SERVICE);
	}
	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

/* Landlock. */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define LANDLOCK_VERSION 1u
#define LANDLOCK_BENEATH 1

enum {
	FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3, FS_REMOVE_DIR = 1 << 4, FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_DIR = 1 << 7, FS_MAKE_REG = 1 << 8, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14,
};

static uint64_t access_for(enum sandbox_use use)
{
	uint64_t read = FS_READ_FILE | FS_READ_DIR;

	switch (use) {
	case SANDBOX_READ:
		return read;
	case SANDBOX_APPEND:
		return FS_WRITE_FILE | FS_MAKE_REG;
	case SANDBOX_REMOVE:
		return FS_REMOVE_FILE;
	case SANDBOX_WRITE:
		break;
	}
	return read | FS_WRITE_FILE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR | FS_REFER | FS_TRUNCATE;
}

/* Every right that this version knows is denied unless a rule gives it. */
static uint64_t known_rights(long version)
{
	static const int bits[] = {0, 13, 14, 15, 15, 16};

	return (1u << bits[version < 5 ? version : 5]) - 1;
}

static int add_rules(int ruleset, const struct sandbox *b, uint64_t known)
{
	for (size_t i = 0; i < b->ndirs; i++) {
		struct { uint64_t access; int32_t parent; } __attribute__((packed)) rule = {
			.access = access_for(b->dirs[i].use) & known, .parent = b->dirs[i].fd,
		};

		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_BENEATH, &rule, 0) != 0)
			return -errno;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : -errno;
}

static int enter_landlock(const struct sandbox *b)
{
	/* Version 4: binding and connecting TCP sockets. Version 6: abstract sockets and signals to others. */
	struct { uint64_t fs, net, scoped; } rights = {.net = 3, .scoped = 3};
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	int ruleset, err;

	if (version < 0)
		return -errno;
	rights.fs = known_rights(version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, version < 4 ? 8u : version < 6 ? 16u : 24u, 0);
	if (ruleset < 0)
		return -errno;
	err = add_rules(ruleset, b, rights.fs);
	close(ruleset);
	return err;
}

/* Seccomp. */

/* The machine must be the one that the numbers below are for; x86-64 would also run i386's, with other numbers. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE 0xc000003e
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define MACHINE 0xc00000b7
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE 0xc00000f3
#endif
#ifndef MACHINE

static int enter_seccomp(void)
{
	return -EOPNOTSUPP;
}

#else

/* linux/filter.h, linux/bpf_common.h, linux/seccomp.h */
struct filter {
	uint16_t code;
	uint8_t yes, no;
	uint32_t k;
};

struct program {
	unsigned short len;
	struct filter *filter;
};

enum { LOAD = 0x20, AND = 0x54, RETURN = 0x06, IF_EQUAL = 0x15, IF_ABOVE = 0x35, IF_BITS = 0x45 };

#define AT_NUMBER 0
#define AT_MACHINE 4
#define AT_ARG(n) (16 + 8 * (n)) /* its low half; these machines are little-endian */

#define VERDICT_ALLOW 0x7fff0000u
#define VERDICT_ERRNO 0x00050000u
#ifdef SANDBOX_NAMES
#define VERDICT_KILL 0x00030000u /* SIGSYS, see name_the_call */
#else
#define VERDICT_KILL 0x80000000u
#endif

/* What serving takes, whatever the arguments; what happens most often comes first. */
static const int allowed[] = {
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_ppoll, SYS_recvmmsg, SYS_recvmsg, SYS_recvfrom, SYS_sendmsg, SYS_sendmmsg, SYS_sendto,
	SYS_pread64, SYS_preadv, SYS_pwrite64, SYS_pwritev, SYS_read, SYS_readv, SYS_write, SYS_writev,
	SYS_clock_gettime, SYS_close, SYS_openat, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_openat2
	SYS_openat2,
#else
	437,
#endif
	SYS_fstat, SYS_newfstatat, SYS_statx, SYS_bind, SYS_connect, SYS_getsockname, SYS_getsockopt, SYS_setsockopt,
	SYS_fcntl, SYS_lseek, SYS_getdents64, SYS_readlinkat, SYS_fstatfs, SYS_faccessat,
#ifdef SYS_faccessat2
	SYS_faccessat2,
#else
	439,
#endif
	/* uploads */
	SYS_fsync, SYS_sync_file_range, SYS_fallocate, SYS_ftruncate, SYS_linkat, SYS_unlinkat, SYS_renameat2, SYS_mkdirat,
	SYS_fchmod, SYS_flock, SYS_memfd_create,
#ifdef SYS_renameat
	SYS_renameat,
#endif
	/* memory, threads, signals; sysinfo is glibc's qsort, uname the resolver, dup3 leaving the terminal, fchdir syslog */
	SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex, SYS_set_robust_list, SYS_sched_getaffinity, SYS_sched_yield,
#ifdef SYS_rseq
	SYS_rseq,
#endif
	SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_sigaltstack, SYS_eventfd2,
	SYS_restart_syscall, SYS_nanosleep, SYS_clock_nanosleep, SYS_gettimeofday, SYS_getrandom,
	SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_sysinfo, SYS_uname,
	SYS_dup3, SYS_fchdir, SYS_exit, SYS_exit_group,
	/* what the C libraries of x86-64 still make of newer calls */
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_dup2,
#endif
};

/* Answered with an error: libc asks, and does without. */
static const struct { int number, error; } declined[] = {
#ifdef SYS_clone3
	{SYS_clone3, ENOSYS}, /* its flags are in memory, out of a filter's sight; then clone is used */
#endif
	{SYS_prctl, EINVAL}, {SYS_membarrier, ENOSYS}, {SYS_prlimit64, EPERM}, {SYS_getcwd, ENOENT},
};

#define FILTER_MAX 512

struct assembler {
	struct filter code[FILTER_MAX];
	unsigned short n;
};

static void emit(struct assembler *a, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	a->code[a->n++] = (struct filter){.code = code, .yes = yes, .no = no, .k = k};
}

static void finish(struct assembler *a, uint32_t verdict)
{
	emit(a, RETURN, verdict, 0, 0);
}

/* If this is system call `number`, the next `n` instructions decide; the number is loaded again behind them. */
static void only_for(struct assembler *a, int number, uint8_t n)
{
	emit(a, IF_EQUAL, (uint32_t)number, 0, n);
}

static void filter_socket(struct assembler *a)
{
	/*
	 * UDP, the log and the manager over datagrams, addresses and neighbours over netlink: no TCP, nothing raw. Refused
	 * only, because the resolver, asked for an address that is still to come, tries nscd and does without.
	 */
	only_for(a, SYS_socket, 10);
	emit(a, LOAD, AT_ARG(0), 0, 0);
	emit(a, IF_EQUAL, AF_NETLINK, 6, 0);
	emit(a, IF_EQUAL, AF_INET, 2, 0);
	emit(a, IF_EQUAL, AF_INET6, 1, 0);
	emit(a, IF_EQUAL, AF_UNIX, 0, 4);
	emit(a, LOAD, AT_ARG(1), 0, 0);
	emit(a, AND, 0xf, 0, 0);
	emit(a, IF_EQUAL, SOCK_DGRAM, 0, 1);
	finish(a, VERDICT_ALLOW);
	finish(a, VERDICT_ERRNO | EACCES);
}

static void filter_clone(struct assembler *a)
{
	only_for(a, SYS_clone, 4);
	emit(a, LOAD, AT_ARG(0), 0, 0);
	emit(a, IF_BITS, CLONE_THREAD, 0, 1);
	finish(a, VERDICT_ALLOW);
	finish(a, VERDICT_KILL);
}

/* Nothing becomes code any more. Refused only: the resolver would load libraries, and does without. */
static void filter_memory(struct assembler *a, int number)
{
	only_for(a, number, 4);
	emit(a, LOAD, AT_ARG(2), 0, 0);
	emit(a, IF_BITS, PROT_EXEC, 1, 0);
	finish(a, VERDICT_ALLOW);
	finish(a, VERDICT_ERRNO | EACCES);
}

static void filter_ioctl(struct assembler *a)
{
	only_for(a, SYS_ioctl, 6);
	emit(a, LOAD, AT_ARG(1), 0, 0);
	emit(a, IF_EQUAL, SIOCGIFMTU, 2, 0);
	emit(a, IF_EQUAL, SIOCGIFNAME, 1, 0);
	emit(a, IF_EQUAL, SIOCGIFINDEX, 0, 1);
	finish(a, VERDICT_ALLOW);
	finish(a, VERDICT_ERRNO | ENOTTY);
}

/* A signal to ourselves: abort() and raise(). */
static void filter_tgkill(struct assembler *a)
{
	only_for(a, SYS_tgkill, 4);
	emit(a, LOAD, AT_ARG(0), 0, 0);
	emit(a, IF_EQUAL, (uint32_t)getpid(), 0, 1);
	finish(a, VERDICT_ALLOW);
	finish(a, VERDICT_KILL);
}

static void assemble(struct assembler *a)
{
	a->n = 0;
	emit(a, LOAD, AT_MACHINE, 0, 0);
	emit(a, IF_EQUAL, MACHINE, 1, 0);
	finish(a, VERDICT_KILL);
	emit(a, LOAD, AT_NUMBER, 0, 0);
	/* x32 on x86-64; no machine has so many calls. */
	emit(a, IF_ABOVE, 0x40000000, 0, 1);
	finish(a, VERDICT_KILL);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		emit(a, IF_EQUAL, (uint32_t)allowed[i], 0, 1);
		finish(a, VERDICT_ALLOW);
	}
	for (size_t i = 0; i < sizeof(declined) / sizeof(declined[0]); i++) {
		emit(a, IF_EQUAL, (uint32_t)declined[i].number, 0, 1);
		finish(a, VERDICT_ERRNO | (uint32_t)declined[i].error);
	}
	filter_socket(a);
	filter_clone(a);
	filter_memory(a, SYS_mmap);
	filter_memory(a, SYS_mprotect);
	filter_ioctl(a);
	filter_tgkill(a);
	finish(a, VERDICT_KILL);
}

_Static_assert(2 * sizeof(allowed) / sizeof(allowed[0]) + 2 * sizeof(declined) / sizeof(declined[0]) + 64 < FILTER_MAX,
    "the filter has room for its rules");

#ifdef SANDBOX_NAMES

/* A build for finding what is missing above: the call is named before the process ends. */
static void name_the_call(int signo, siginfo_t *info, void *context)
{
	static const struct { int number; const char *name; } names[] = {
#include SANDBOX_NAMES
	};
	char line[96];
	int len = snprintf(line, sizeof(line), "tftpd: system call %d is not in the sandbox\n", info->si_syscall);

	(void)signo;
	(void)context;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == info->si_syscall)
			len = snprintf(line, sizeof(line), "tftpd: system call %s is not in the sandbox\n", names[i].name);
	if (write(STDERR_FILENO, line, (size_t)len) == len)
		_exit(70);
	_exit(71);
}

static void watch(void)
{
	struct sigaction action = {.sa_sigaction = name_the_call, .sa_flags = SA_SIGINFO};

	sigaction(SIGSYS, &action, NULL);
}

#else

static void watch(void)
{
}

#endif

static int enter_seccomp(void)
{
	struct assembler a;
	struct program program = {.filter = a.code};

	assemble(&a);
	program.len = a.n;
	watch();
	/* seccomp(SECCOMP_SET_MODE_FILTER) */
	return syscall(SYS_seccomp, 1, 0, &program) == 0 ? 0 : -errno;
}

#endif

int sandbox_enter(const struct sandbox *b, struct sandbox_result *r)
{
	memset(r, 0, sizeof(*r));
#ifdef SANDBOX_OFF
	/* A sanitizer's runtime opens files and makes calls of its own. */
	return 0;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	r->capabilities = sandbox_drop_capabilities(b->without);
	if (!(b->without & SANDBOX_NO_LANDLOCK))
		r->landlock = enter_landlock(b);
	if (!(b->without & SANDBOX_NO_SECCOMP))
		r->seccomp = enter_seccomp();
	return 0;
}
