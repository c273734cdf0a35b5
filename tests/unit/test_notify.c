/* What a service manager hears, on a socket of the test's own, with a clock moved by hand. */
#include "notify.h"
#include "unit.h"
#include "unit_must.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define START (5000 * MONO_SEC)

static mono_t clock_now = START;

static mono_t fake_clock(void)
{
	return clock_now;
}

static struct loop loop;
static struct notify notify;
static int manager;

static void advance(mono_t by)
{
	clock_now += by;
	MUST(loop_once(&loop, clock_now) == 0);
}

/* An abstract socket, as a container's manager has it. */
static void listen_as_manager(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "test-notify-%d", (int)getpid());
	char path[sizeof(addr.sun_path)];

	if (manager > 0)
		close(manager); /* of the test before, where none has a process of its own */
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	MUST(bind(manager, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0);
	snprintf(path, sizeof(path), "@%s", addr.sun_path + 1);
	setenv("NOTIFY_SOCKET", path, 1);
}

static const char *heard(void)
{
	static char text[1024];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

static void start(void)
{
	loop_init(&loop);
	loop.clock = fake_clock;
	ck_assert_int_eq(notify_init(&notify, &loop), 0);
}

START_TEST(without_a_manager_nothing_happens)
{
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "1000000", 1);
	start();
	notify_ready(&notify, "serving", clock_now);
	notify_running(&notify, 1, clock_now);
	notify_reloading(&notify, clock_now);
	notify_stopping(&notify);
	ck_assert_uint_eq(loop.ntimers, 0);
	notify_free(&notify);
}
END_TEST

START_TEST(a_manager_hears_of_each_stage)
{
	listen_as_manager();
	unsetenv("WATCHDOG_USEC");
	start();
	ck_assert_ptr_null(heard());
	notify_ready(&notify, "serving /srv/tftp on [::]:69", clock_now);
	ck_assert_str_eq(heard(), "READY=1\nSTATUS=serving /srv/tftp on [::]:69, 0 transfers\n");
	notify_reloading(&notify, clock_now);
	ck_assert_str_eq(heard(), "RELOADING=1\nMONOTONIC_USEC=5000000000\n");
	notify_ready(&notify, notify.what, clock_now);
	ck_assert_str_eq(heard(), "READY=1\nSTATUS=serving /srv/tftp on [::]:69, 0 transfers\n");
	notify_stopping(&notify);
	ck_assert_str_eq(heard(), "STOPPING=1\nSTATUS=stopping, 0 transfers still running\n");
	ck_assert_uint_eq(loop.ntimers, 0);
	notify_free(&notify);
}
END_TEST

/* A thousand transfers a second are one message, and an idle server wakes nobody. */
START_TEST(the_number_of_transfers_is_told_once_a_second)
{
	listen_as_manager();
	unsetenv("WATCHDOG_USEC");
	start();
	notify_ready(&notify, "serving", clock_now);
	MUST(heard() != NULL);
	for (size_t i = 1; i <= 12; i++)
		notify_running(&notify, i, clock_now);
	advance(MONO_SEC - 1);
	ck_assert_ptr_null(heard());
	advance(1);
	ck_assert_str_eq(heard(), "STATUS=serving, 12 transfers\n");
	advance(10 * MONO_SEC);
	ck_assert_ptr_null(heard());
	notify_running(&notify, 1, clock_now);
	advance(MONO_SEC);
	ck_assert_str_eq(heard(), "STATUS=serving, 1 transfer\n");
	notify_free(&notify);
	loop_free(&loop);
}
END_TEST

START_TEST(signs_of_life_come_twice_in_each_interval)
{
	listen_as_manager();
	setenv("WATCHDOG_USEC", "10000000", 1);
	unsetenv("WATCHDOG_PID");
	start();
	notify_ready(&notify, "serving", clock_now);
	MUST(heard() != NULL);
	for (int i = 0; i < 5; i++) {
		advance(5 * MONO_SEC - 1);
		ck_assert_ptr_null(heard());
		advance(1);
		ck_assert_str_eq(heard(), "WATCHDOG=1\n");
	}
	notify_free(&notify);
	ck_assert_uint_eq(loop.ntimers, 0);
	loop_free(&loop);
}
END_TEST

START_TEST(signs_of_life_are_for_the_process_that_was_asked)
{
	char pid[16];

	listen_as_manager();
	setenv("WATCHDOG_USEC", "10000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	start();
	ck_assert_int_eq(notify.interval == MONO_NEVER, 1);
	notify_free(&notify);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	start();
	ck_assert_int_eq(notify.interval == 5 * MONO_SEC, 1);
	notify_free(&notify);
}
END_TEST

START_TEST(a_manager_that_cannot_be_reached_is_an_error)
{
	static const char *const paths[] = {"/nowhere/socket", "relative", "", "@nobody-listens-here"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		setenv("NOTIFY_SOCKET", paths[i], 1);
		loop_init(&loop);
		ck_assert_int_lt(notify_init(&notify, &loop), 0);
		notify_ready(&notify, "serving", clock_now);
		notify_free(&notify);
	}
}
END_TEST

UNIT_MAIN("notify", without_a_manager_nothing_happens, a_manager_hears_of_each_stage,
    the_number_of_transfers_is_told_once_a_second, signs_of_life_come_twice_in_each_interval,
    signs_of_life_are_for_the_process_that_was_asked, a_manager_that_cannot_be_reached_is_an_error)
