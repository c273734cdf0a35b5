/*
 * The end of a run: every file has its verdict, and some sessions still answer a repeated last block. Whoever waits for
 * the client to end does not wait for that; who does is decided here.
 */
#include "client_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DALLY_LEAST (20 * MONO_MS)
#define DALLY_MOST MONO_SEC
#define INHERITED 1024         /* descriptors that whoever started us may have left open */
#define FIRST_PIDS 0xeffffffcU /* the inode of the first PID namespace, which the kernel keeps as it is */

/*
 * Every file has its verdict: until when to answer a repeated last block all the same. RFC 1350 section 6 would have us
 * stay in case the last ACK was lost, but somebody waits for this program to end. So it stays as long as a server that
 * has learnt the round trip takes to repeat its block; one with a timer of a second or more finds the port closed.
 */
mono_t dally_until(const struct client *c, mono_t now)
{
	mono_t rtt = 0;

	for (const struct task *t = c->tasks; t != NULL; t = t->next)
		if (transfer_rtt(&t->session.transfer) > rtt)
			rtt = transfer_rtt(&t->session.transfer);
	rtt = DALLY_LEAST + 2 * rtt;
	return now + (rtt < DALLY_MOST ? rtt : DALLY_MOST);
}

/*
 * What we got from whoever started us and hold for nobody, in a child that they do not wait for: a pipe whose reader
 * would not see its end, a lock, a directory that could not be unmounted. Ours are all closed at an exec.
 */
static void let_go(void)
{
	for (int fd = 0; fd < INHERITED; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
			close(fd);
	}
	if (chdir("/") != 0)
		_exit(0);
}

static bool all_over(const struct client *c)
{
	for (const struct task *t = c->tasks; t != NULL; t = t->next)
		if (!t->over)
			return false;
	return true;
}

/*
 * What runs first in a container takes all others with it when it ends; and if it is no init, a child that we leave to
 * it stays there, dead, for as long as the container runs.
 */
static bool in_container(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) != 0 || st.st_ino != FIRST_PIDS;
}

/* The child's side, which ends by itself or by a signal. */
static void dally(struct client *c)
{
	loop_timer_clear(&c->loop, &c->tick);
	while (!all_over(c) && c->interrupted == 0 && loop_once(&c->loop, MONO_NEVER) == 0)
		;
}

/*
 * All is decided, and for a script that fetches a thousand files the dallying would be most of the time. So a child
 * stays behind for it, with nothing but our sockets, and has time for all of it. Not where packets are shown, nor where
 * the ports are few and the next of us wants one, nor in a container, nor with so many that some stand in an epoll set,
 * which we would share: what we close would be gone from the child's too. False: the run has to wait itself.
 */
bool dally_in_child(struct client *c)
{
	int released[2];
	char none;
	pid_t pid;

	if (!c->options->hurry || c->options->trace || c->options->port_hi != 0 || c->interrupted != 0 ||
	    c->loop.ncrowd > 0 || all_over(c) || in_container() || pipe2(released, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		let_go();
		close(released[0]);
		close(released[1]);
		dally(c);
		_exit(0);
	}
	close(released[1]);
	/* Whoever unmounts the directory that we were started in, once we have ended, must not find the child there. */
	while (pid > 0 && read(released[0], &none, 1) < 0 && errno == EINTR)
		;
	close(released[0]);
	return pid > 0;
}
