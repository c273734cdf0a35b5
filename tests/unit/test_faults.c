/*
 * When memory runs out, in common/: the Nth allocation fails, for every N. What failed says so, leaves nothing behind,
 * may be freed and may be tried again.
 */
#include "endpoint.h"
#include "fault_alloc.h"
#include "store_file.h"
#include "store_temp.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 200

/* Calls `attempt` with each allocation failing in turn, alone and with all after it, until it needs no more than N. */
static void for_every_allocation(int (*attempt)(bool failing))
{
	for (int onwards = 0; onwards < 2; onwards++)
		for (unsigned n = 1;; n++) {
			long live = fault_alloc_live();
			int fds = fault_open_fds(), err;

			fault_alloc_fail(n, onwards);
			err = attempt(true);
			fault_alloc_fail(0, false);
			MUST(fault_alloc_live() == live);
			MUST(fault_open_fds() == fds);
			if (err == 0)
				break;
			MUST(err == -ENOMEM);
			MUST(n < 100);
		}
}

static struct loop loop;
static struct exchange x;

/* The caller frees whether or not it began, as the server does. */
static int exchange_attempt(bool failing)
{
	int err = exchange_init(&x, &loop, 1, 0);

	(void)failing;
	exchange_free(&x);
	return err;
}

START_TEST(an_exchange_without_memory_can_be_freed)
{
	loop_init(&loop);
	memset(&x, 0x5a, sizeof(x));
	for_every_allocation(exchange_attempt);
}
END_TEST

static void never_ready(struct loop_fd *h, short revents, mono_t now)
{
	(void)h;
	(void)revents;
	(void)now;
}

static void never_due(struct loop_timer *t, mono_t now)
{
	(void)t;
	(void)now;
}

/* Forty handles and timers; one that does not fit is tried once more, without a fault, and everything then leaves. */
static int loop_attempt(bool failing)
{
	static struct loop_fd fds[40];
	static struct loop_timer timers[40];
	int err = 0;

	(void)failing;
	loop_init(&loop);
	for (int i = 0; i < 40; i++) {
		int added = loop_fd_add(&loop, &fds[i], 0, 0, never_ready);

		if (added != 0) {
			err = added;
			MUST(fds[i].index == LOOP_UNSET);
			loop_fd_del(&loop, &fds[i]);
			fault_alloc_fail(0, false);
			MUST(loop_fd_add(&loop, &fds[i], 0, 0, never_ready) == 0);
		}
		loop_timer_init(&timers[i], never_due);
		added = loop_timer_set(&loop, &timers[i], MONO_NEVER - 1 - i);
		if (added != 0) {
			err = added;
			MUST(timers[i].index == LOOP_UNSET);
			loop_timer_clear(&loop, &timers[i]);
			fault_alloc_fail(0, false);
			MUST(loop_timer_set(&loop, &timers[i], MONO_NEVER - 1 - i) == 0);
		}
	}
	MUST(loop.nfds == 40 && loop.ncrowd == 0);
	MUST(loop.ntimers == 40);
	for (int i = 0; i < 40; i++) {
		loop_fd_del(&loop, &fds[i]);
		loop_timer_clear(&loop, &timers[i]);
	}
	MUST(loop.nfds + loop.ntimers == 0);
	loop_free(&loop);
	return err;
}

START_TEST(a_loop_that_cannot_grow_keeps_what_it_has)
{
	for_every_allocation(loop_attempt);
}
END_TEST

static int dir;

static int sink_attempt(bool failing)
{
	static struct store_file file;
	struct store store;
	int err = store_file_sink(&file, &store, dir, "name", 0666, false, UINT64_MAX, false);

	(void)failing;
	if (err != 0) {
		MUST(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL) == 0);
		return err;
	}
	store.ops->close(store.arg);
	MUST(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL) == 0);
	return 0;
}

START_TEST(an_upload_without_memory_leaves_no_file)
{
	dir = unit_dir_open();
	for_every_allocation(sink_attempt);
	unit_dir_close(dir);
}
END_TEST

/* It takes the descriptor over, also when it fails. */
static int source_attempt(bool failing)
{
	static struct store_file file;
	struct store store;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), err;

	(void)failing;
	err = store_file_source(&file, &store, fd, 100, true, 512);
	if (err == 0)
		store.ops->close(store.arg);
	return err;
}

START_TEST(a_source_without_memory_closes_its_file)
{
	for_every_allocation(source_attempt);
}
END_TEST

static void mem_close(void *arg)
{
	++*(int *)arg;
}

static ssize_t mem_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	(void)arg;
	(void)off;
	(void)iov;
	(void)n;
	return 0;
}

static const struct store_ops mem_ops = {.read = mem_read, .close = mem_close};
static const struct transfer_policy policy = {.give_up = MONO_SEC, .tries = 3};

static void nothing_over(struct session *s, mono_t now)
{
	(void)s;
	(void)now;
}

static const struct session_ops session_ops = {.over = nothing_over};

static void session_prepare(struct session *s, int i, int *closed)
{
	struct store store = {.ops = &mem_ops, .arg = closed, .seekable = true};
	struct option_set none = {0};
	struct option_terms terms;

	memset(s, 0, sizeof(*s));
	options_default_terms(&terms);
	transfer_serve_get(&s->transfer, &store, &none, &terms, &policy, MONO_SEC);
	s->peer.v4.sin_family = AF_INET;
	s->peer.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->peer.v4.sin_port = htons((uint16_t)(1000 + i));
}

static struct session sessions[MANY];

static void without_memory_from(unsigned n, struct endpoint *e)
{
	int closed = 0, attached = 0;

	for (int i = 0; i < MANY; i++)
		session_prepare(&sessions[i], i, &closed);
	fault_alloc_fail(n, true);
	while (attached < MANY && session_attach(&sessions[attached], e, false, true, &session_ops) == 0)
		attached++;
	fault_alloc_fail(0, false);
	/* Those that are in are found, the one that was refused is not. */
	for (int i = 0; i < MANY; i++)
		MUST(session_table_find(&x.sessions, &sessions[i].peer, NULL) == (i < attached ? &sessions[i] : NULL));
	for (int i = 0; i < attached; i++)
		session_detach(&sessions[i]);
	MUST(x.sessions.n == 0);
	for (int i = 0; i < MANY; i++)
		transfer_free(&sessions[i].transfer);
	MUST(closed == MANY);
}

START_TEST(a_session_table_that_cannot_grow_finds_its_sessions)
{
	struct addr local = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	static struct endpoint e;

	for (unsigned n = 0; n < 12; n++) {
		long live = fault_alloc_live();

		loop_init(&loop);
		MUST(exchange_init(&x, &loop, 7, 0) == 0);
		MUST(udp_open(&e.udp, &local, false, 0) == 0);
		MUST(endpoint_add(&e, &x, endpoint_reject, NULL) == 0);
		without_memory_from(n, &e);
		endpoint_close(&e);
		exchange_free(&x);
		loop_free(&loop);
		MUST(fault_alloc_live() == live);
	}
}
END_TEST

UNIT_MAIN("faults", an_exchange_without_memory_can_be_freed, a_loop_that_cannot_grow_keeps_what_it_has,
    an_upload_without_memory_leaves_no_file, a_source_without_memory_closes_its_file,
    a_session_table_that_cannot_grow_finds_its_sessions)
