/* The process beside the server, and the socket pair between the two: messages go one way only. */
#include "opener.h"

#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What could not be had is tried again so often. */
#define AGAIN 2000 /* ms */

/* How long its end may take. */
#define PATIENCE 500 /* ms */

/* A bound socket comes with it, or the address of the configuration has all it can have. */
struct message {
	int address;
	bool complete;
	char device[IF_NAMESIZE];
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* There. */

static int say(int to, const struct message *m, int fd)
{
	struct iovec iov = {.iov_base = (void *)m, .iov_len = sizeof(*m)};
	union control c;
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	memset(&c, 0, sizeof(c));
	if (fd >= 0) {
		h.msg_control = &c;
		h.msg_controllen = sizeof(c);
		c.header.cmsg_level = SOL_SOCKET;
		c.header.cmsg_type = SCM_RIGHTS;
		c.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&c.header), &fd, sizeof(fd));
	}
	return sendmsg(to, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int opener_pass(const struct server *s, int fd, int address, const char *device)
{
	struct message m = {.address = address};

	if (device != NULL)
		memcpy(m.device, device, strnlen(device, sizeof(m.device) - 1));
	return say(s->opener_end, &m, fd);
}

static bool is_listener(const struct server *s, int fd)
{
	for (int i = 0; i < s->nlisteners; i++)
		if (s->listeners[i].endpoint.udp.fd == fd)
			return true;
	return false;
}

/*
 * Pipes of the server's, whose ends tell others of its end, must not stay open here. The log must, or what is said would
 * go to whatever has its number next; what waits in the server's memory for its reader is not ours to write.
 */
static void close_others(struct server *s)
{
	for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
		if (fd != s->opener_end && fd != s->log.fd && !is_listener(s, fd))
			close(fd);
	s->log.backlog = NULL;
}

/* Whatever the server says or does is its end: SIGIO ends this process, however long the resolver would take. */
static void end_with_server(int end)
{
	fcntl(end, F_SETOWN, getpid());
	fcntl(end, F_SETFL, O_ASYNC);
}

static void try_again(struct server *s, int end)
{
	s->opener_end = end;
	end_with_server(end);
	close_others(s);
	s->log.level = LOG_LEVEL_ERROR; /* what is missing has been said */
	while (s->listen_missing != 0) {
		struct pollfd p = {.fd = s->opener_end, .events = POLLIN};

		if (poll(&p, 1, AGAIN) > 0)
			_exit(0);
		for (int i = 0; i < CONFIG_ADDRESSES; i++) {
			struct message m = {.address = i, .complete = true};

			if (!(s->listen_missing >> i & 1) || listen_again(s, i) != 0)
				continue;
			s->listen_missing &= ~(1u << i);
			if (say(s->opener_end, &m, -1) != 0)
				_exit(0);
		}
	}
	_exit(0);
}

/* Here. */

static bool hear(int from, struct message *m, int *fd)
{
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	union control c;
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	ssize_t n = recvmsg(from, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? (m->address = -1, true) : false;
	for (struct cmsghdr *i = CMSG_FIRSTHDR(&h); i != NULL; i = CMSG_NXTHDR(&h, i))
		if (i->cmsg_level == SOL_SOCKET && i->cmsg_type == SCM_RIGHTS)
			memcpy(fd, CMSG_DATA(i), sizeof(*fd));
	return n == (ssize_t)sizeof(*m) && m->address >= 0 && m->address < CONFIG_ADDRESSES;
}

static void heard(struct loop_fd *io, short revents, mono_t now)
{
	struct server *s = (struct server *)((char *)io - offsetof(struct server, opener_io));
	struct message m;
	int fd;

	(void)revents;
	(void)now;
	if (!hear(io->fd, &m, &fd)) {
		opener_stop(s);
		if (s->listen_missing != 0)
			log_line(&s->log, LOG_LEVEL_ERROR, "the process that tries again what cannot be listened on has ended");
		return;
	}
	if (m.address < 0)
		return;
	if (fd >= 0)
		listen_take(s, fd, m.device);
	if (!m.complete)
		return;
	s->listen_missing &= ~(1u << m.address);
	log_line(&s->log, LOG_LEVEL_NOTICE, "listening on \"%.128s\" now", listen_name(s, m.address));
	if (s->listen_missing == 0)
		opener_stop(s);
}

/* It is nobody's child, so that nobody need wait for its end. */
static int fork_away(struct server *s, int ends[2])
{
	pid_t pid = fork();

	if (pid == 0) {
		if (fork() == 0)
			try_again(s, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

void opener_start(struct server *s)
{
	int ends[2], err;

	if (s->listen_missing == 0)
		return;
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 ? -errno : 0;
	if (err == 0) {
		err = fork_away(s, ends);
		if (err == 0)
			err = loop_fd_add(&s->loop, &s->opener_io, ends[0], POLLIN, heard);
		if (err != 0)
			close(ends[0]);
	}
	if (err != 0)
		log_line(&s->log, LOG_LEVEL_ERROR, "what cannot be listened on is not tried again: %s", strerror(-err));
}

/* It has our sockets as well: whoever starts the next server shall find the ports free. */
void opener_stop(struct server *s)
{
	struct pollfd p = {.fd = s->opener_io.fd};

	/* Only cleared, its descriptor would be standard input. */
	if (s->opener_io.ready == NULL)
		return;
	loop_fd_del(&s->loop, &s->opener_io);
	if (send(p.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
		poll(&p, 1, PATIENCE);
	close(s->opener_io.fd);
	s->opener_io.ready = NULL;
}
