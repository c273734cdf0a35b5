/*
 * The server when memory runs out: one GET and one PUT over loopback, in this process, with the Nth allocation failing
 * for every N. The client hears something or its request can be repeated; then the server serves as before, and nothing
 * is left behind. A reload keeps the rules it had.
 */
#include "fault_alloc.h"
#include "listen.h"
#include "listing.h"
#include "request.h"
#include "server.h"
#include "store_temp.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct server server;
static struct config config;
static char path[64];
static int dir, client;

/* 0 or -errno; the caller frees either way. */
static int begin(void)
{
	char error[CONFIG_ERROR_MAX];
	struct log log;
	int err;

	memset(&server, 0, sizeof(server));
	log_init(&log, -1, LOG_LEVEL_ERROR);
	err = server_init(&server, &config, &log);
	if (err == 0 && (names_open(&server.names, &config, error) != 0 || listen_open(&server, error) != 0))
		err = -ENOMEM;
	return err != 0 ? err : put_start(&server);
}

/* Until the client has something to read, which takes a thread's work after an upload, or nothing comes. */
static bool settle(int rounds)
{
	struct pollfd p = {.fd = client, .events = POLLIN};

	for (int i = 0; i < rounds && poll(&p, 1, 0) == 0; i++)
		loop_once(&server.loop, mono_now() + 5 * MONO_MS);
	return poll(&p, 1, 0) > 0;
}

static pthread_barrier_t all_here;
static int back;

static void meet(struct work *w)
{
	(void)w;
	pthread_barrier_wait(&all_here);
}

static void met(struct work *w, mono_t now)
{
	(void)w;
	(void)now;
	back++;
}

/* Nothing that was handed to the threads is still with them: each has come to here, after all that came before. */
static void threads_are_idle(void)
{
	struct work work[WORKER_THREADS];
	int n = server.worker.nthreads;

	MUST(pthread_barrier_init(&all_here, NULL, (unsigned)n) == 0);
	back = 0;
	for (int i = 0; i < n; i++) {
		work[i] = (struct work){.run = meet, .done = met};
		worker_submit(&server.worker, &work[i]);
	}
	while (back < n)
		loop_once(&server.loop, mono_now() + MONO_SEC);
	pthread_barrier_destroy(&all_here);
}

/* Send to the server, or to whoever answered last; the answer's length, 0 if none comes. */
static ssize_t exchange_with(const void *bytes, size_t len, struct sockaddr_in *to, uint8_t *answer, size_t cap)
{
	bool last = len == 4 && memcmp(bytes, "\0\4\0\1", 4) == 0; /* this ACK is not answered */
	int most = fault_alloc_hit() ? 100 : 4000; /* where nothing failed an answer comes: 20 s for a busy machine */
	socklen_t tolen = sizeof(*to);

	MUST(sendto(client, bytes, len, 0, (struct sockaddr *)to, sizeof(*to)) == (ssize_t)len);
	if (!settle(last ? 4 : most))
		return 0;
	return recvfrom(client, answer, cap, 0, (struct sockaddr *)to, &tolen);
}

/* Without an allocation, which might be the one that fails. */
static bool uploaded(void)
{
	int fd = openat(dir, "new", O_RDONLY | O_CLOEXEC);
	char bytes[8];
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	return n == 3 && memcmp(bytes, "abc", 3) == 0;
}

/* True if the whole transfer worked. An answer that is an ERROR, or silence, is false. */
static bool request(bool put, const char *options, size_t options_len)
{
	struct sockaddr_in to = server.listeners[0].addr.v4;
	uint8_t buf[600] = {0, put ? PACKET_WRQ : PACKET_RRQ}, answer[600];
	size_t len = 2;
	ssize_t n;

	len += (size_t)sprintf((char *)buf + len, "%s", put ? "new" : "file") + 1;
	len += (size_t)sprintf((char *)buf + len, "octet") + 1;
	memcpy(buf + len, options, options_len);
	n = exchange_with(buf, len + options_len, &to, answer, sizeof(answer));
	if (n < PACKET_HEADER || answer[1] == PACKET_ERROR)
		return false;
	if (!put && answer[1] == PACKET_OACK)
		n = exchange_with("\0\4\0\0", 4, &to, answer, sizeof(answer));
	if (put)
		n = exchange_with("\0\3\0\1abc", 7, &to, answer, sizeof(answer));
	else if (n == PACKET_HEADER + 3 && memcmp(answer, "\0\3\0\1abc", 7) == 0)
		return exchange_with("\0\4\0\1", 4, &to, answer, sizeof(answer)) == 0;
	else
		return false;
	return n == 4 && memcmp(answer, "\0\4\0\1", 4) == 0 && uploaded();
}

/* Whatever is still under way ends; what the client was sent and did not read goes. */
static void forget(void)
{
	uint8_t rest[600];

	threads_are_idle();
	while (server.jobs != NULL) {
		transfer_abandon(&server.jobs->session.transfer, "test", mono_now());
		session_pump(&server.jobs->session, mono_now());
	}
	threads_are_idle();
	while (recv(client, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

static void every_allocation_of(bool put, const char *options, size_t options_len)
{
	bool failed = true;

	for (unsigned n = 1; failed && n < 100; n++) {
		long live;
		int fds;

		/* The loop's arrays and the table have grown before this counts. */
		MUST(request(put, options, options_len));
		forget();
		live = fault_alloc_live();
		fds = fault_open_fds();
		fault_alloc_fail(n, false);
		request(put, options, options_len);
		failed = fault_alloc_hit();
		fault_alloc_fail(0, false);
		forget();
		MUST(fault_alloc_live() == live);
		MUST(fault_open_fds() == fds);
		MUST(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL) == 0);
		MUST(request(put, options, options_len));
		forget();
	}
	MUST(!failed);
}

static void prepare(void)
{
	static char *argv[] = {"tftpd", "--create", "--no-sync", "--address", "127.0.0.1:0", path, NULL};
	char error[CONFIG_ERROR_MAX];

	dir = unit_dir_open();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	ck_assert_msg(config_parse(&config, 6, argv, error) == 0, "%s", error);
	unit_dir_put(dir, "file", "abc", 3, 0644);
	client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(client >= 0);
}

static void clean(void)
{
	server_free(&server);
	close(client);
	unit_dir_close(dir);
}

START_TEST(requests_survive_every_failed_allocation)
{
	static const char options[] = "blksize\0001000\0windowsize\0004\0tsize\0003";

	prepare();
	MUST(begin() == 0);
	every_allocation_of(false, "", 0);
	every_allocation_of(false, options, sizeof(options));
	every_allocation_of(true, "", 0);
	every_allocation_of(true, options, sizeof(options));
	clean();
}
END_TEST

START_TEST(a_start_without_memory_fails_and_leaves_nothing)
{
	long live = fault_alloc_live();
	unsigned n = 1;
	int err = -1, fds;

	prepare();
	fds = fault_open_fds();
	for (; err != 0 && n < 100; n++) {
		fault_alloc_fail(n, false);
		err = begin();
		fault_alloc_fail(0, false);
		server_free(&server);
		MUST(fault_alloc_live() == live);
		MUST(fault_open_fds() == fds);
	}
	MUST(err == 0);
	MUST(n > 3);
	close(client);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_way_to_a_client_is_asked_again_after_descriptors_ran_out)
{
	struct udp_datagram d = {.from = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}}};
	struct rlimit before, none;
	mono_t now = mono_now();

	prepare();
	MUST(begin() == 0);
	MUST(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 0;
	MUST(setrlimit(RLIMIT_NOFILE, &none) == 0);
	ck_assert_uint_eq(server_blksize(&server, &d, now), 1500 - 32);
	MUST(setrlimit(RLIMIT_NOFILE, &before) == 0);
	ck_assert_int_le(server.path_fd[0], 0);
	ck_assert_uint_eq(server_blksize(&server, &d, now + 2 * MONO_SEC), 1500 - 32);
	ck_assert_int_gt(server.path_fd[0], 0);
	clean();
}
END_TEST

static void write_rules(unsigned n)
{
	char rule[32];

	unit_dir_put(dir, "rules", rule, (size_t)sprintf(rule, "r ^n%u$ file", n), 0644);
}

/* Whether the rules that are in force know the name "n<N>". */
static bool knows(unsigned n)
{
	struct names_ask ask = {.peer = &server.listeners[0].addr};
	struct remap_result out;
	char name[16];

	sprintf(name, "n%u", n);
	ask.name = name;
	MUST(names_map(&server.names, &ask, &out) == REMAP_OK);
	return strcmp(out.text, "file") == 0;
}

START_TEST(a_reload_without_memory_keeps_the_old_rules)
{
	static char rules[80], *argv[] = {"tftpd", "--map-file", rules, "--address", "127.0.0.1:0", path, NULL};
	char error[CONFIG_ERROR_MAX];
	unsigned n = 1, kept = 0;
	bool failed = true;

	prepare();
	snprintf(rules, sizeof(rules), "%s/rules", path);
	write_rules(0);
	optind = 0; /* from the start again */
	ck_assert_msg(config_parse(&config, 6, argv, error) == 0, "%s", error);
	MUST(begin() == 0 && knows(0));
	for (; failed && n < 100; n++) {
		long live = fault_alloc_live();
		int fds = fault_open_fds();

		write_rules(n);
		fault_alloc_fail(n, false);
		server.loop.on_signal(&server.loop, SIGHUP, mono_now());
		failed = fault_alloc_hit();
		fault_alloc_fail(0, false);
		MUST(knows(n) != knows(n - 1) && knows(n) == !failed);
		kept += failed;
		server.loop.on_signal(&server.loop, SIGHUP, mono_now());
		MUST(knows(n));
		MUST(fault_alloc_live() == live && fault_open_fds() == fds);
	}
	MUST(kept >= 2);
	clean();
}
END_TEST

/* Half of a directory's names must not pass for all of them. */
START_TEST(a_listing_without_memory_claims_nothing)
{
	struct timespec before = {.tv_sec = 1000}, times[2] = {before, before};
	bool failed = true;
	char name[16];

	dir = unit_dir_open();
	for (int i = 0; i < 200; i++) {
		sprintf(name, "f%d", i);
		unit_dir_put(dir, name, "", 0, 0644);
	}
	MUST(futimens(dir, times) == 0);
	for (unsigned n = 1; failed && n < 20; n++) {
		struct listings *l = listings_new(0);
		int fds = fault_open_fds();

		MUST(l != NULL);
		fault_alloc_fail(n, false);
		for (int i = 0; i < 200; i++)
			MUST(!listings_lack(l, dir, name, (size_t)sprintf(name, "F%d", i)));
		failed = fault_alloc_hit();
		fault_alloc_fail(0, false);
		MUST(listings_lack(l, dir, "absent", 6));
		listings_del(l);
		MUST(fault_open_fds() == fds);
		MUST(n > 2 || failed);
	}
	MUST(!failed);
	unit_dir_close(dir);
}
END_TEST

UNIT_MAIN("faults_server", requests_survive_every_failed_allocation, a_start_without_memory_fails_and_leaves_nothing,
    the_way_to_a_client_is_asked_again_after_descriptors_ran_out, a_reload_without_memory_keeps_the_old_rules,
    a_listing_without_memory_claims_nothing)
