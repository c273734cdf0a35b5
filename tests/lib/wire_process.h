/*
 * The real programs under a test: a server on a free port over a directory of its own, a client with a bound on its
 * time, and the files around them. Programs come from the directory that the environment names as BUILD, and end with
 * the test that started them, however that ends.
 */
#ifndef WIRE_PROCESS_H
#define WIRE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * main() of a wire test: WIRE_MAIN("name", test_a, test_b, ...). Makes a directory for all of them, which is gone at the
 * end, and runs some of them at the same time, because most of a test is waiting: each worker prints a summary of its
 * own. With CK_FORK=no everything runs in one process, one test after the other.
 */
struct TTest;
int wire_main(const char *label, const struct TTest *const *tests, size_t n);
#define WIRE_MAIN(label, ...) \
	int main(void) \
	{ \
		const TTest *const tests[] = {__VA_ARGS__}; \
		return wire_main(label, tests, sizeof(tests) / sizeof(tests[0])); \
	}

#define PATH_ROOM 512

struct server {
	pid_t pid;
	uint16_t port;
	char dir[PATH_ROOM]; /* what it serves, empty at first */
	char log[PATH_ROOM + 16]; /* file with its standard error */
	size_t greeting;     /* lines it logged before the first request */
};

/* Start build/tftpd on wire_local, verbose, with these further options (NULL-terminated), e.g. "--create". */
void server_start(struct server *s, ...) __attribute__((sentinel));
/* The same, listening on `host` ("0.0.0.0", "[::1]"); as user `uid` if that is not 0 and we are root. */
void server_start_at(struct server *s, const char *host, uid_t uid, ...) __attribute__((sentinel));
/* It runs and still answers a read. Fails the test if not. */
void server_is_well(struct server *s);
/* End it by SIGINT: at once, whatever is still running, with status 0. */
void server_stop(struct server *s);

/* A file in the server's directory. */
void server_put(const struct server *s, const char *name, const void *data, size_t len);
bool server_has(const struct server *s, const char *name, const void *data, size_t len);
bool server_lacks(const struct server *s, const char *name);
size_t server_entries(const struct server *s); /* names in its directory */
/* Wait until its directory has this many names: what a broken upload leaves goes away soon, not at once. */
bool server_settles(const struct server *s, size_t entries);

/* The log so far. The string is the caller's until the next call. */
const char *server_log(const struct server *s);
/* How many lines since the start hold `text`; and wait until there are `n` (true) for as long as an answer may take. */
size_t server_log_count(const struct server *s, const char *text);
bool server_logged(const struct server *s, const char *text, size_t n);
/* The same; otherwise the test fails and shows the log. */
#define server_expect_logged(s, text, n) server_expect_logged_at(__FILE__, __LINE__, s, text, n)
void server_expect_logged_at(const char *file, int line, const struct server *s, const char *text, size_t n);

struct client {
	pid_t pid;
	char err[PATH_ROOM + 16];
	char out[PATH_ROOM + 16];
};

/* Start build/tftp with these arguments (NULL-terminated), in the directory of files_dir(). */
void client_start(struct client *c, ...) __attribute__((sentinel));
/* Wait for it: its exit status; 128 + n when a signal ended it. Fails the test when it hangs, after minutes. */
int client_wait(struct client *c);
const char *client_said(const struct client *c); /* its standard error */
size_t client_lines(const struct client *c);     /* lines of it */

/* A directory for the client's files, one for each test. */
const char *files_dir(void);
void file_write(const char *path, const void *data, size_t len);
bool file_is(const char *path, const void *data, size_t len);
size_t dir_entries(const char *path);
void path_join(char out[PATH_ROOM], const char *dir, const char *name);

void sleep_ms(int ms);

/* The programs are scripts that run them under memcheck (see long.sh): a round trip takes milliseconds. */
bool under_memcheck(void);

#endif
