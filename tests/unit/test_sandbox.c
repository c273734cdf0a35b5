/*
 * The sandbox from inside: each attempt is made by a child of its own, which has entered it, and what became of the
 * child is the answer. What serving takes goes on working; what it does not take ends the process or is refused.
 */
#include "sandbox.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FINE = 0, NOT_ENTERED = 99 };

struct place {
	int read, write;      /* directories that are allowed */
	unsigned without;
	struct sandbox_result result;
};

static struct place place;

static void start(void)
{
	place = (struct place){.read = unit_dir_open(), .write = unit_dir_open()};
	unit_dir_put(place.read, "file", "hello", 5, 0644);
	unit_dir_put(place.write, "old", "old", 3, 0644);
}

static void end(void)
{
	unit_dir_close(place.read);
	unit_dir_close(place.write);
}

static bool enter(void)
{
	struct sandbox b = {.without = place.without};

	sandbox_allow(&b, place.read, SANDBOX_READ);
	sandbox_allow(&b, place.write, SANDBOX_WRITE);
	sandbox_allow(&b, -1, SANDBOX_WRITE);
	return sandbox_enter(&b, &place.result) == 0;
}

/* What became of a child that tried: its exit status (FINE or an errno), or 1000 and the signal that ended it. */
static int attempt(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0)
		_exit(enter() ? what() : NOT_ENTERED);
	MUST(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

#ifdef SANDBOX_NAMES
#define KILLED 70 /* named first */
#else
#define KILLED (1000 + SIGSYS)
#endif

/* Which layers are there, from a child: this process must stay outside. */
static int missing(void)
{
	return (place.result.landlock != 0 ? 1 : 0) | (place.result.seccomp != 0 ? 2 : 0);
}

static bool has(int layer, const char *name)
{
	int gone = attempt(missing);

	MUST(gone != NOT_ENTERED);
#ifdef SANDBOX_OFF
	gone = layer;
#endif
	if (!(gone & layer))
		return true;
	printf("skip the sandbox's %s: not in this kernel or build\n", name);
	return false;
}

#define HAS_LANDLOCK has(1, "Landlock")
#define HAS_SECCOMP has(2, "seccomp filter")

static int result(int rc)
{
	return rc >= 0 ? FINE : errno;
}

static int read_inside(void)
{
	char text[8];
	int fd = openat(place.read, "file", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && pread(fd, text, sizeof(text), 0) == 5 && close(fd) == 0 ? FINE : errno;
}

static int upload(void)
{
	int fd = openat(place.write, ".", O_TMPFILE | O_WRONLY, 0600);
	struct stat st;

	if (fd >= 0)
		close(fd);
	fd = openat(place.write, "temp", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || pwrite(fd, "new", 3, 0) != 3 || fchmod(fd, 0644) != 0 || ftruncate(fd, 2) != 0 || fsync(fd) != 0)
		return errno;
	if (linkat(place.write, "temp", place.write, "twin", 0) != 0 || unlinkat(place.write, "twin", 0) != 0)
		return errno;
	if (renameat(place.write, "temp", place.write, "old") != 0 || fstatat(place.write, "old", &st, 0) != 0)
		return errno;
	if (mkdirat(place.write, "dir", 0755) != 0 || unlinkat(place.write, "dir", AT_REMOVEDIR) != 0)
		return errno;
	return st.st_size == 2 ? FINE : 1;
}

static void *nothing(void *arg)
{
	return arg;
}

static int threads_and_memory(void)
{
	pthread_t thread;
	void *memory = malloc(10 << 20);
	int fd = eventfd(0, EFD_CLOEXEC), err;

	if (memory == NULL || fd < 0)
		return 1;
	memset(memory, 1, 10 << 20);
	free(memory);
	err = pthread_create(&thread, NULL, nothing, NULL);
	return err != 0 ? err : pthread_join(thread, NULL);
}

static int send_udp(void)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(self);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char byte;

	if (fd < 0 || bind(fd, (struct sockaddr *)&self, len) != 0 || getsockname(fd, (struct sockaddr *)&self, &len) != 0)
		return errno;
	return sendto(fd, "x", 1, 0, (struct sockaddr *)&self, len) == 1 && recv(fd, &byte, 1, 0) == 1 ? FINE : errno;
}

START_TEST(what_serving_takes_goes_on_working)
{
	start();
	ck_assert_int_eq(attempt(read_inside), FINE);
	ck_assert_int_eq(attempt(upload), FINE);
	ck_assert_int_eq(attempt(threads_and_memory), FINE);
	ck_assert_int_eq(attempt(send_udp), FINE);
	end();
}
END_TEST

static int read_passwd(void)
{
	return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int write_inside(void)
{
	return result(openat(place.read, "file", O_WRONLY | O_CLOEXEC));
}

static int make_inside(void)
{
	return result(openat(place.read, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int remove_inside(void)
{
	return result(unlinkat(place.read, "file", 0));
}

START_TEST(other_files_cannot_be_opened)
{
	start();
	if (HAS_LANDLOCK) {
		ck_assert_int_eq(attempt(read_passwd), EACCES);
		ck_assert_int_eq(attempt(write_inside), EACCES);
		ck_assert_int_eq(attempt(make_inside), EACCES);
		ck_assert_int_eq(attempt(remove_inside), EACCES);
	}
	end();
}
END_TEST

static int connect_tcp(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int raw_socket(void)
{
	return result(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
}

static int packet_socket(void)
{
	return result(socket(AF_PACKET, SOCK_DGRAM, 0));
}

START_TEST(there_is_no_network_but_udp)
{
	start();
	if (HAS_SECCOMP) {
		ck_assert_int_eq(attempt(connect_tcp), EACCES);
		ck_assert_int_eq(attempt(raw_socket), EACCES);
		ck_assert_int_eq(attempt(packet_socket), EACCES);
	}
	/* Without the filter it is Landlock that says no, from its fourth version on. */
	place.without = SANDBOX_NO_SECCOMP;
	if (HAS_LANDLOCK && syscall(444, NULL, 0, 1) >= 4)
		ck_assert_int_eq(attempt(connect_tcp), EACCES);
	end();
}
END_TEST

static int execute(void)
{
	char *argv[] = {"true", NULL};

	execv("/bin/true", argv);
	return errno;
}

static int make_process(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0 ? errno : FINE;
}

static int make_code(void)
{
	return result(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
}

static int turn_into_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? 1 : result(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int trace(void)
{
	return result((int)ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int become_root(void)
{
	return result(setuid(0));
}

static int signal_others(void)
{
	return result(kill(getppid(), 0));
}

static int load_a_filter(void)
{
	return result((int)syscall(SYS_seccomp, 1, 0, NULL));
}

START_TEST(nothing_else_can_be_started_or_controlled)
{
	static int (*const attempts[])(void) = {
		execute, make_process, trace, become_root, signal_others, load_a_filter,
	};

	start();
	if (HAS_SECCOMP) {
		ck_assert_int_eq(attempt(make_code), EACCES);
		ck_assert_int_eq(attempt(turn_into_code), EACCES);
		for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
			ck_assert_msg(attempt(attempts[i]) == KILLED, "attempt %zu: %d", i, attempt(attempts[i]));
	}
	end();
}
END_TEST

#ifdef __x86_64__
/* getpid of another table: 20 of i386's, and with the bit of x32. Where the kernel has no i386 it is a fault. */
static int call_i386(void)
{
	long number = 20;

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory");
	return FINE;
}

static int call_x32(void)
{
	syscall(0x40000000 | SYS_getpid);
	return FINE;
}

START_TEST(calls_for_another_machine_end_it)
{
	start();
	if (HAS_SECCOMP) {
		int how = attempt(call_i386);

		ck_assert_msg(how == KILLED || how == 1000 + SIGSEGV, "%d", how);
		ck_assert_int_eq(attempt(call_x32), KILLED);
	}
	end();
}
END_TEST
#else
START_TEST(calls_for_another_machine_end_it)
{
}
END_TEST
#endif

/* An address that is still to come is looked up again and again; nothing can be read for that, and nothing may end. */
static int resolve(void)
{
	struct addrinfo *list, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE};

	if (getaddrinfo("192.0.2.1", "69", &hints, &list) != 0)
		return 1;
	freeaddrinfo(list);
	return getaddrinfo("no-such-host.invalid", "tftp", &hints, &list) != 0 ? FINE : 2;
}

START_TEST(the_resolver_fails_in_peace)
{
	start();
	ck_assert_int_eq(attempt(resolve), FINE);
	end();
}
END_TEST

/* What libc asks and can do without is an error, not the end. */
static int what_libc_asks(void)
{
	if (isatty(0) && errno != ENOTTY)
		return 1;
	return syscall(SYS_membarrier, 0, 0) == -1 && errno == ENOSYS ? FINE : 2;
}

START_TEST(libc_is_told_no_where_it_can_do_without)
{
	start();
	if (HAS_SECCOMP)
		ck_assert_int_eq(attempt(what_libc_asks), FINE);
	end();
}
END_TEST

static long status_field(pid_t pid, const char *field)
{
	char path[64], line[256];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtol(line + strlen(field) + 1, NULL, strncmp(field, "Cap", 3) == 0 ? 16 : 10);
	fclose(f);
	return value;
}

START_TEST(the_kernel_confirms_it)
{
	int there[2], back[2];
	char byte;
	pid_t pid;

	start();
	if (HAS_SECCOMP) {
		MUST(pipe(there) == 0 && pipe(back) == 0);
		pid = fork();
		if (pid == 0) {
			/* Not root any more, where we are: root would keep its capabilities. */
			if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
				_exit(1);
			if (!enter() || write(there[1], "x", 1) != 1 || read(back[0], &byte, 1) != 0)
				_exit(NOT_ENTERED);
			_exit(0);
		}
		close(back[0]);
		MUST(read(there[0], &byte, 1) == 1);
		ck_assert_int_eq(status_field(pid, "NoNewPrivs"), 1);
		ck_assert_int_eq(status_field(pid, "Seccomp"), 2);
		ck_assert_int_eq(status_field(pid, "CapEff"), 0);
		ck_assert_int_eq(status_field(pid, "CapPrm"), 0);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	end();
}
END_TEST

/* Layers can be left out, for a debugger. */
START_TEST(a_layer_can_be_left_out)
{
	start();
	place.without = SANDBOX_NO_SECCOMP | SANDBOX_NO_LANDLOCK;
	ck_assert_int_eq(attempt(read_passwd), FINE);
	ck_assert_int_eq(attempt(make_process), FINE);
	end();
}
END_TEST

UNIT_MAIN("sandbox", what_serving_takes_goes_on_working, other_files_cannot_be_opened, there_is_no_network_but_udp,
    nothing_else_can_be_started_or_controlled, calls_for_another_machine_end_it,
    the_resolver_fails_in_peace, libc_is_told_no_where_it_can_do_without,
    the_kernel_confirms_it, a_layer_can_be_left_out)
