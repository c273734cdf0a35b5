/* The real programs under a test: see wire_process.h. */
#include "wire_process.h"
#include "wire_peer.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 160
#define WORKERS 4

static char top[128]; /* the directory of all tests of this program */
static char files[PATH_ROOM];

/* One worker's share: every nth test from the first one on. Prints Check's summary, which tests/run.sh adds up. */
static int run_tests(const char *label, const struct TTest *const *tests, size_t n, size_t first, size_t step)
{
	Suite *suite = suite_create(label);
	TCase *tcase = tcase_create(label);
	tcase_set_timeout(tcase, 300);
	for (size_t i = first; i < n; i += step)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int wire_main(const char *label, const struct TTest *const *tests, size_t n)
{
	const char *tmp = getenv("TMPDIR"), *fork_mode = getenv("CK_FORK");
	bool one = fork_mode && strcmp(fork_mode, "no") == 0;
	snprintf(top, sizeof(top), "%s/tftp-wire.XXXXXX", tmp && strlen(tmp) < 64 ? tmp : "/tmp");
	/* others than our own user may have to look into it: a server without root's rights */
	if (!mkdtemp(top) || chmod(top, 0755) != 0) {
		perror(top);
		return EXIT_FAILURE;
	}
	int result = EXIT_SUCCESS;
	if (one)
		result = run_tests(label, tests, n, 0, 1);
	pid_t workers[WORKERS];
	for (size_t i = 0; i < WORKERS && !one; i++) {
		workers[i] = fork();
		if (workers[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			snprintf(wire_local, sizeof(wire_local), "127.%u.%u.1", 1 + (unsigned)getpid() / 250 % 250,
			    1 + (unsigned)getpid() % 250);
			exit(i < n ? run_tests(label, tests, n, i, WORKERS) : EXIT_SUCCESS);
		}
	}
	for (size_t i = 0; i < WORKERS && !one; i++) {
		int status;
		if (workers[i] < 0 || waitpid(workers[i], &status, 0) < 0 || status != 0)
			result = EXIT_FAILURE;
	}
	char command[256];
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command) != 0)
		fprintf(stderr, "%s could not be removed\n", top);
	return result;
}

void sleep_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	nanosleep(&t, NULL);
}

void path_join(char out[PATH_ROOM], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_ROOM, "%s/%s", dir, name);
	ck_assert_int_lt(n, PATH_ROOM);
}

static void fresh_dir(char out[PATH_ROOM], const char *what)
{
	char name[64];
	snprintf(name, sizeof(name), "%s.%ld.XXXXXX", what, (long)getpid());
	path_join(out, top, name);
	ck_assert_msg(mkdtemp(out) != NULL, "%s: %s", out, strerror(errno));
	ck_assert_int_eq(chmod(out, 0777), 0);
}

const char *files_dir(void)
{
	if (!files[0])
		fresh_dir(files, "files");
	return files;
}

void file_write(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_eq(len ? fwrite(data, 1, len, f) : 0, len);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, 0666), 0);
}

/* The whole file, NUL added; NULL if it cannot be read. The caller frees it. */
static char *slurp(const char *path, size_t *len)
{
	*len = 0;
	FILE *f = fopen(path, "r");
	if (!f)
		return NULL;
	size_t cap = 1 << 16;
	char *buf = malloc(cap + 1);
	ck_assert_ptr_nonnull(buf);
	for (size_t n; (n = fread(buf + *len, 1, cap - *len, f)) > 0;) {
		*len += n;
		if (*len == cap) {
			cap *= 2;
			buf = realloc(buf, cap + 1);
			ck_assert_ptr_nonnull(buf);
		}
	}
	fclose(f);
	buf[*len] = '\0';
	return buf;
}

bool file_is(const char *path, const void *data, size_t len)
{
	size_t n;
	char *buf = slurp(path, &n);
	bool same = buf && n == len && (!len || !memcmp(buf, data, len));
	free(buf);
	return same;
}

size_t dir_entries(const char *path)
{
	DIR *d = opendir(path);
	ck_assert_msg(d != NULL, "%s: %s", path, strerror(errno));
	size_t n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool under_memcheck(void)
{
	const char *build = getenv("BUILD"), *last = build ? strrchr(build, '/') : NULL;
	return last && strcmp(last, "/memcheck") == 0;
}

static int open_program(const char *name)
{
	const char *build = getenv("BUILD");
	char path[PATH_ROOM];
	path_join(path, build ? build : "build", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* Runs a program whose output goes to these files; dies with us. The program is opened before the user changes. */
static pid_t spawn(const char *name, char *const *argv, const char *out, const char *err, uid_t uid, const char *dir)
{
	int program = open_program(name);
	pid_t parent = getpid();
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid)
		return close(program), pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	/* Check's children ignore or block nothing that matters here, but keep the defaults explicit */
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	int o = open(out, O_WRONLY | O_CREAT | O_APPEND, 0666), e = open(err, O_WRONLY | O_CREAT | O_APPEND, 0666);
	int null = open("/dev/null", O_RDONLY);
	if (o < 0 || e < 0 || null < 0 || dup2(null, 0) < 0 || dup2(o, 1) < 0 || dup2(e, 2) < 0)
		_exit(127);
	if (dir && chdir(dir) != 0)
		_exit(127);
	if (uid && getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0))
		_exit(127);
	if (uid)
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
	fexecve(program, argv, environ);
	/* A script (memcheck's, see long.sh) is opened once more by whoever runs it. */
	fcntl(program, F_SETFD, 0);
	fexecve(program, argv, environ);
	_exit(127);
}

/* The address to ask where the server listens on `host`: brackets off, and not the wildcard. */
static const char *plain(const char *host)
{
	static char text[64];
	snprintf(text, sizeof(text), "%s", host[0] == '[' ? host + 1 : host);
	text[strcspn(text, "]")] = '\0';
	return strcmp(text, "0.0.0.0") == 0 ? wire_local : text;
}

static uint16_t free_port(const char *host)
{
	static struct wire w;
	wire_open(&w, plain(host));
	uint16_t port = wire_port(&w);
	wire_close(&w);
	return port;
}

/* It has said that it is ready, and answers; whatever it logs after that is about a test's own requests. */
static bool greets(struct server *s, const char *host)
{
	static struct wire w;
	char name[32];
	int asked = 0;
	for (int64_t until = now_ms() + WIRE_WAIT; now_ms() < until; sleep_ms(3)) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
			s->pid = 0; /* the number is free for others now */
			return false;
		}
		if (!strchr(server_log(s), '\n'))
			continue;
		/* a first line may also be the complaint with which it ends */
		wire_dial(&w, plain(host), s->port);
		/* asked again under another name: once this one is in the log, so is every earlier one */
		snprintf(name, sizeof(name), ".ready%d", ++asked);
		wire_request(&w, OP_RRQ, name, "octet", NULL);
		bool answered = wire_recv(&w, wire_wait(2000));
		wire_close(&w);
		if (!answered)
			continue;
		s->greeting = 0;
		server_expect_logged(s, name, 1);
		s->greeting = server_log_count(s, "");
		return true;
	}
	return false;
}

static void start(struct server *s, const char *host, uid_t uid, va_list options)
{
	char *args[ARGS_MAX], address[96];
	int n = 0;
	args[n++] = "tftpd";
	args[n++] = "--verbose";
	args[n++] = "--address";
	args[n++] = address;
	/* The directory is root's own. */
	if (geteuid() == 0 && uid == 0) {
		args[n++] = "--user";
		args[n++] = "root";
	}
	for (char *option; (option = va_arg(options, char *));) {
		ck_assert_int_lt(n, ARGS_MAX - 2);
		args[n++] = option;
	}
	fresh_dir(s->dir, "root");
	args[n++] = s->dir;
	args[n] = NULL;
	/* somebody else may take the port that was free a moment ago */
	for (int attempt = 0; attempt < 5; attempt++) {
		s->port = free_port(host);
		snprintf(address, sizeof(address), "%s:%u", host, s->port);
		snprintf(s->log, sizeof(s->log), "%s.log%d", s->dir, attempt);
		s->greeting = 0;
		s->pid = spawn("tftpd", args, "/dev/null", s->log, uid, NULL);
		if (greets(s, host))
			return;
		if (s->pid > 0) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, NULL, 0);
		}
	}
	ck_abort_msg("the server does not start: %s", server_log(s));
}

void server_start(struct server *s, ...)
{
	va_list options;
	va_start(options, s);
	start(s, wire_local, 0, options);
	va_end(options);
}

void server_start_at(struct server *s, const char *host, uid_t uid, ...)
{
	va_list options;
	va_start(options, uid);
	start(s, host, uid, options);
	va_end(options);
}

void server_is_well(struct server *s)
{
	static const char text[] = "still here";
	int status;
	if (waitpid(s->pid, &status, WNOHANG) != 0)
		ck_abort_msg("the server ended, status %#x: %s", status, server_log(s));
	char path[PATH_ROOM];
	path_join(path, s->dir, ".well");
	file_write(path, text, sizeof(text));
	static struct wire w;
	wire_dial(&w, wire_local, s->port);
	wire_request(&w, OP_RRQ, ".well", "octet", NULL);
	wire_read_rest(&w, 512, (const uint8_t *)text, sizeof(text));
	/* its line is in the log before the file goes, or it would be one too many for somebody who counts */
	server_expect_logged(s, ".well", 1);
	wire_close(&w);
	unlink(path);
}

void server_stop(struct server *s)
{
	int status;
	pid_t ended = waitpid(s->pid, &status, WNOHANG);
	ck_assert_msg(ended == 0, "the server ended, status %#x: %s", status, server_log(s));
	/* SIGTERM would wait for transfers that a test left behind */
	kill(s->pid, SIGINT);
	for (int64_t until = now_ms() + WIRE_WAIT; now_ms() < until && ended == 0; sleep_ms(2))
		ended = waitpid(s->pid, &status, WNOHANG);
	ck_assert_msg(ended == s->pid, "the server does not end");
	ck_assert_msg(status == 0, "the server ended with status %#x: %s", status, server_log(s));
}

void server_put(const struct server *s, const char *name, const void *data, size_t len)
{
	char path[PATH_ROOM];
	path_join(path, s->dir, name);
	file_write(path, data, len);
}

bool server_has(const struct server *s, const char *name, const void *data, size_t len)
{
	char path[PATH_ROOM];
	path_join(path, s->dir, name);
	return file_is(path, data, len);
}

bool server_lacks(const struct server *s, const char *name)
{
	char path[PATH_ROOM];
	struct stat st;
	path_join(path, s->dir, name);
	return lstat(path, &st) != 0 && errno == ENOENT;
}

size_t server_entries(const struct server *s)
{
	return dir_entries(s->dir);
}

bool server_settles(const struct server *s, size_t entries)
{
	for (int64_t until = now_ms() + WIRE_WAIT; now_ms() < until; sleep_ms(5))
		if (server_entries(s) == entries)
			return true;
	return false;
}

const char *server_log(const struct server *s)
{
	static char *text;
	size_t len;
	free(text);
	text = slurp(s->log, &len);
	return text ? text : "";
}

size_t server_log_count(const struct server *s, const char *text)
{
	size_t n = 0, lines = 0;
	for (const char *line = server_log(s), *end; (end = strchr(line, '\n')); line = end + 1) {
		const char *hit = *text ? strstr(line, text) : line;
		n += lines++ >= s->greeting && hit && hit < end + !*text;
	}
	return n;
}

bool server_logged(const struct server *s, const char *text, size_t n)
{
	for (int64_t until = now_ms() + WIRE_WAIT; now_ms() < until; sleep_ms(5))
		if (server_log_count(s, text) >= n)
			return true;
	return false;
}

void server_expect_logged_at(const char *file, int line, const struct server *s, const char *text, size_t n)
{
	if (!server_logged(s, text, n))
		ck_abort_msg("%s:%d: %zu lines with \"%s\" should have come and not %zu:\n%s", file, line, n, text,
		    server_log_count(s, text), server_log(s));
}

void client_start(struct client *c, ...)
{
	char *args[ARGS_MAX];
	int n = 0;
	args[n++] = "tftp";
	va_list rest;
	va_start(rest, c);
	for (char *arg; (arg = va_arg(rest, char *));) {
		ck_assert_int_lt(n, ARGS_MAX - 1);
		args[n++] = arg;
	}
	va_end(rest);
	args[n] = NULL;
	static int serial;
	snprintf(c->out, sizeof(c->out), "%s.out%d", files_dir(), serial);
	snprintf(c->err, sizeof(c->err), "%s.err%d", files_dir(), serial++);
	c->pid = spawn("tftp", args, c->out, c->err, 0, files_dir());
}

int client_wait(struct client *c)
{
	int status;
	for (int64_t until = now_ms() + wire_wait(250000); now_ms() < until; sleep_ms(2)) {
		pid_t ended = waitpid(c->pid, &status, WNOHANG);
		ck_assert_int_ge(ended, 0);
		if (ended)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	ck_abort_msg("the client hangs: %s", client_said(c));
	return -1;
}

const char *client_said(const struct client *c)
{
	static char *text;
	size_t len;
	free(text);
	text = slurp(c->err, &len);
	return text ? text : "";
}

size_t client_lines(const struct client *c)
{
	size_t n = 0;
	for (const char *at = client_said(c); (at = strchr(at, '\n')); at++)
		n++;
	return n;
}
