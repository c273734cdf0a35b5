/*
 * A whole client session: a run of jobs through client.c, task.c and attempt.c, over real files, against servers whose
 * answers and times are the fuzzer's. What must hold: the run ends, every job has a verdict in words that no terminal
 * minds, a download is there whole or what was there before is, an upload sends what the file holds, an ERROR is never
 * answered, a stranger hears nothing but ERROR 5, and nothing is left behind.
 *
 *	options (4), number of jobs, for each of them two bytes, then steps: op (its high bit: more comes in the same
 *	wake-up), and what that op needs
 */
#include "client_int.h"
#include "fuzz.h"
#include "line.h"
#include "trace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 70000u
#define OLD "what was there before"
#define JOBS 4
#define TID 3000

enum op { RAW, OACK, DATA, ACK, ERR, WAIT, EXPIRE, SOCKET, ICMP, SIGNAL, OPS };

static char top[] = "/tmp/fuzz-client.XXXXXX", mine[64];
static pid_t owner;

static struct {
	struct client *client;
	struct client_options options;
	struct client_job jobs[JOBS];
	char local[JOBS][PATH_MAX];
	size_t n, done;
	struct fuzz_input in;
	unsigned steps, silence;
	unsigned heard;           /* datagrams in this wake-up */
	bool foreign;             /* DATA that we did not make may have been stored */
	bool got;                 /* there may be new files */
	/* To whom nothing may be sent now, and nothing but ERROR 5, from the socket that heard them; family 0: nobody. */
	struct addr hush, stranger;
	int hush_fd, stranger_fd;
} f;

static uint8_t content(uint64_t off)
{
	return (uint8_t)((off * 2654435761u) >> 13 ^ off);
}

/* Files. */

static void must_write(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	FUZZ_MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	line_leftovers(top, true);
	rmdir(top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct { const char *name; size_t size; } sources[] = {
		{"empty", 0}, {"three", 3}, {"large", FILE_MAX},
	};
	static uint8_t bytes[FILE_MAX];
	char path[PATH_MAX];

	(void)argc;
	(void)argv;
	owner = getpid();
	FUZZ_MUST(mkdtemp(top) != NULL);
	atexit(clean_up);
	for (uint32_t i = 0; i < FILE_MAX; i++)
		bytes[i] = content(i);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, sources[i].name);
		must_write(path, bytes, sources[i].size);
	}
	snprintf(mine, sizeof(mine), "%s/mine", top);
	FUZZ_MUST(mkdir(mine, 0777) == 0);
	return 0;
}

/* What the client sends. */

static struct task *task_at(int fd)
{
	struct task *t = f.client->tasks;

	while (t != NULL && t->endpoint.udp.fd != fd)
		t = t->next;
	return t;
}

static void check_data(const struct task *t, const struct packet *p)
{
	const struct option_terms *terms = transfer_terms(&t->session.transfer);
	uint64_t off = (uint64_t)(p->block - 1) * terms->blksize;

	FUZZ_MUST(t->job->write && p->len <= terms->blksize);
	/* The largest file has fewer than 65536 blocks of 8. */
	for (size_t k = 0; k < p->len && !t->job->text; k++)
		FUZZ_MUST(p->data[k] == content(off + k));
}

static void sent(void *arg, int fd, const struct addr *to, const uint8_t *buf, size_t len)
{
	const struct task *t = task_at(fd);
	struct packet p;
	bool request;

	(void)arg;
	FUZZ_MUST(packet_decode(&p, buf, len) == PACKET_OK);
	request = p.op == PACKET_RRQ || p.op == PACKET_WRQ;
	if (f.stranger.sa.sa_family != AF_UNSPEC && fd == f.stranger_fd && addr_equal(to, &f.stranger))
		FUZZ_MUST(p.op == PACKET_ERROR && p.code == ERROR_UNKNOWN_TID);
	FUZZ_MUST(request || f.hush.sa.sa_family == AF_UNSPEC || fd != f.hush_fd || !addr_equal(to, &f.hush));
	/* A task's first packet leaves before the client has it in its list; strangers may be heard by another socket. */
	if (t == NULL) {
		FUZZ_MUST(request || (p.op == PACKET_ERROR && p.code == ERROR_UNKNOWN_TID));
		return;
	}
	if (request)
		FUZZ_MUST(strcmp(p.name, t->job->remote) == 0 && (p.op == PACKET_WRQ) == t->job->write && addr_port(to) < TID);
	else if (p.op == PACKET_DATA)
		check_data(t, &p);
}

/* What it hears. */

static struct task *some_task(void)
{
	struct task *t = f.client->tasks;

	for (unsigned n = fuzz_u8(&f.in) & 3; n > 0 && t != NULL && t->next != NULL; n--)
		t = t->next;
	return t != NULL && t->open ? t : NULL;
}

/* From the port the transfer is on, or the one it will be on; or not. */
static void arrives(struct task *t, uint8_t how, const void *bytes, size_t len)
{
	struct addr from = t->session.peer;
	struct packet p;

	if (t->session.any_port)
		addr_set_port(&from, (uint16_t)(TID + (how & 1)));
	if ((how & 0xc0) == 0xc0 && from.sa.sa_family == AF_INET) {
		from.v4.sin_addr.s_addr ^= htonl(1);
		if (!t->session.any_port) {
			f.stranger = from;
			f.stranger_fd = t->endpoint.udp.fd;
		}
	}
	f.hush.sa.sa_family = AF_UNSPEC;
	/* What came in the same wake-up may have its answer, and our own ERROR may have waited for room. */
	if (f.heard++ == 0 && line_idle(t->endpoint.udp.fd) && transfer_verdict(&t->session.transfer) == NULL &&
	    packet_decode(&p, bytes, len) == PACKET_OK && p.op == PACKET_ERROR) {
		f.hush = from;
		f.hush_fd = t->endpoint.udp.fd;
	}
	line_put(t->endpoint.udp.fd, &from, bytes, len, 0);
}

static void raw(struct task *t, uint8_t how)
{
	size_t len = fuzz_u8(&f.in);

	if (len > f.in.left)
		len = f.in.left;
	f.foreign = true;
	arrives(t, how, f.in.p, len);
	f.in.p += len;
	f.in.left -= len;
}

/* Grants what was asked for, as a server would, or something near it. */
static void oack(struct task *t, uint8_t how)
{
	static const struct option_limits limits = {.blksize = 2000, .windowsize = 16, .window_bytes = 65536};
	const struct option_set *asked = &t->request.offered;
	struct option_set granted;
	struct option_terms terms;
	uint8_t buf[512];
	struct packet_writer w;

	options_accept(asked, t->job->write, &limits, how & 2 ? FILE_MAX : 1000, &granted, &terms);
	packet_write(&w, buf, sizeof(buf));
	packet_write_u16(&w, PACKET_OACK);
	for (unsigned i = 0; i < granted.n; i++)
		packet_write_option(&w, options_name(granted.order[i]), granted.value[granted.order[i]] + (how >> 2 & 1));
	arrives(t, how, buf, w.len);
}

static void data(struct task *t, uint8_t how)
{
	size_t blksize = transfer_terms(&t->session.transfer)->blksize, len = blksize;
	uint8_t shape = fuzz_u8(&f.in), n = (uint8_t)(1 + shape % 8);
	int64_t first = t->session.transfer.state == TRANSFER_REQUEST ? 1 : (int64_t)t->session.transfer.base;
	static uint8_t buf[PACKET_MAX];

	/* An OACK that is on its way changes the size of a block, and with it what is in which. */
	f.foreign |= t->session.transfer.state == TRANSFER_REQUEST && !line_idle(t->endpoint.udp.fd);
	for (uint8_t i = 0; i < n; i++) {
		int64_t block = first + (int8_t)(how & 0x20 ? shape >> 3 : 0) + i;

		if (shape & 0x80 && i == n - 1)
			len = len * (shape >> 3 & 15) / 16;
		if (block < 1 || (uint64_t)block * blksize > FILE_MAX)
			return;
		packet_data_header(buf, (uint16_t)block);
		for (size_t k = 0; k < len; k++)
			buf[PACKET_HEADER + k] = content((uint64_t)(block - 1) * blksize + k);
		arrives(t, how, buf, len + PACKET_HEADER);
	}
}

static void ack(struct task *t, uint8_t how)
{
	uint64_t last = t->session.transfer.state == TRANSFER_REQUEST ? 0 : t->session.transfer.next - 1;
	uint8_t buf[PACKET_HEADER];

	packet_ack(buf, sizeof(buf), (uint16_t)(last + (uint64_t)(int8_t)(fuzz_u8(&f.in) - 0x20)));
	arrives(t, how, buf, sizeof(buf));
}

static void error(struct task *t, uint8_t how)
{
	uint8_t buf[64];

	arrives(t, how, buf, packet_error(buf, sizeof(buf), (uint16_t)(how >> 2 & 15), "no \x1b[31m"));
}

static void to_task(enum op op)
{
	static void (*const answers[])(struct task *t, uint8_t how) = {
		[RAW] = raw, [OACK] = oack, [DATA] = data, [ACK] = ack, [ERR] = error,
	};
	struct task *t = some_task();
	uint8_t how = fuzz_u8(&f.in);

	if (t != NULL)
		answers[op](t, how);
}

static void icmp(void)
{
	static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH};
	struct task *t = some_task();
	uint8_t how = fuzz_u8(&f.in);

	if (t != NULL)
		line_icmp(t->endpoint.udp.fd, &t->session.peer, errors[how & 3]);
}

static void interfere(void)
{
	static const int errors[] = {EAGAIN, EIO, ECONNREFUSED, EMSGSIZE, ENOBUFS, EPERM, ENETUNREACH, EINVAL};
	uint8_t how = fuzz_u8(&f.in);

	line_room(!(how & 1), how >> 6);
	line_fail_send(how & 2 ? errors[how >> 3 & 7] : 0, 1 + (how >> 6));
	line_fail_socket(how & 4 ? EMFILE : 0, 1);
}

/* True: more comes in the same wake-up. */
static bool step(mono_t wait)
{
	uint8_t op = fuzz_u8(&f.in);

	switch ((enum op)((op & 0x7f) % OPS)) {
	case RAW:
	case OACK:
	case DATA:
	case ACK:
	case ERR:
		to_task((enum op)((op & 0x7f) % OPS));
		break;
	case WAIT:
		line_pass(fuzz_u16(&f.in) * MONO_MS);
		break;
	case EXPIRE:
		line_pass(wait != MONO_NEVER ? wait : 0);
		break;
	case SOCKET:
		interfere();
		break;
	case ICMP:
		icmp();
		break;
	case SIGNAL:
		f.hush.sa.sa_family = AF_UNSPEC; /* it may be told before it is heard */
		if (fuzz_u8(&f.in) == 0xff)
			f.client->loop.on_signal(&f.client->loop, SIGINT, line_now());
		break;
	case OPS:
		break;
	}
	return op & 0x80;
}

/* The client has nothing to do: the input goes on, and after its end time passes in silence. */
static void waits(void *arg, mono_t wait)
{
	(void)arg;
	f.hush.sa.sa_family = AF_UNSPEC;
	f.stranger.sa.sa_family = AF_UNSPEC;
	f.heard = 0;
	if (f.in.left > 0 && f.steps < 300) {
		do
			f.steps++;
		while (step(wait) && f.in.left > 0 && f.steps < 300);
		return;
	}
	line_room(true, 0);
	line_fail_send(0, 0);
	line_fail_socket(0, 0);
	FUZZ_MUST(wait != MONO_NEVER && ++f.silence < 20000);
	line_pass(wait);
}

static const struct line_ears ears = {.sent = sent, .waits = waits};

/* What it tells. */

static void harmless(const char *s)
{
	for (; *s != '\0'; s++)
		FUZZ_MUST((uint8_t)*s >= 0x20 && *s != 0x7f);
}

static void on_tick(void *arg, const struct client_state *state)
{
	(void)arg;
	FUZZ_MUST(state->done <= state->jobs && state->jobs == f.n && state->failed <= state->done);
}

static void on_done(void *arg, const struct client_job *job)
{
	(void)arg;
	f.done++;
	FUZZ_MUST(job->out.decided);
}

static void on_packet(void *arg, bool out, const struct addr *peer, const uint8_t *buf, size_t len)
{
	char text[256];

	(void)arg;
	harmless(trace_packet(text, sizeof(text), out, peer, buf, len));
}

static const struct client_view view = {.tick = on_tick, .done = on_done, .packet = on_packet};

/* What was got is the file, whole; what was not is what lay there before. */
static void check_local(size_t i)
{
	const struct client_job *job = &f.jobs[i];
	static uint8_t bytes[FILE_MAX + PACKET_MAX];
	int fd = open(f.local[i], O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	if (job->out.status != CLIENT_OK) {
		FUZZ_MUST(n == (i == 1 ? (ssize_t)strlen(OLD) : -1));
		FUZZ_MUST(i != 1 || memcmp(bytes, OLD, strlen(OLD)) == 0);
		return;
	}
	FUZZ_MUST(n >= 0 && (job->text || (uint64_t)n == job->out.bytes));
	for (ssize_t k = 0; k < n && !job->text && !f.foreign; k++)
		FUZZ_MUST(bytes[k] == content((uint64_t)k));
}

static void check_jobs(enum client_status status)
{
	for (size_t i = 0; i < f.n; i++) {
		const struct client_job *job = &f.jobs[i];

		FUZZ_MUST(job->out.decided);
		harmless(job->out.message);
		harmless(job->out.note);
		FUZZ_MUST((job->out.status == CLIENT_OK) == (job->out.message[0] == '\0'));
		FUZZ_MUST(job->out.status == CLIENT_OK || status != CLIENT_OK);
		if (!job->write)
			check_local(i);
	}
	FUZZ_MUST(f.done == f.n);
}

/* The frame. */

static void read_options(void)
{
	static const uint32_t blksizes[] = {0, 8, 512, 1428, 8192, 65464, 513, 16};
	static const uint32_t windows[] = {0, 1, 4, 64};
	uint8_t a = fuzz_u8(&f.in), b = fuzz_u8(&f.in), c = fuzz_u8(&f.in), d = fuzz_u8(&f.in);

	f.options = (struct client_options){
		.blksize = blksizes[a & 7],
		.windowsize = windows[a >> 3 & 3],
		.timeout = a >> 5 & 1 ? 2 : 0,
		.interval = a >> 6 & 1,
		.no_options = a >> 7,
		.retries = b & 3,
		.give_up = b >> 2 & 1 ? 3 : 0,
		.max_time = b >> 3 & 1 ? 7 : 0,
		.relaxed_peer = b >> 4 & 1,
		.no_tsize = b >> 5 & 1,
		.parallel = b >> 6,
		.without = c & (UDP_NO_GSO | UDP_NO_GRO | UDP_NO_MMSG),
		.port_lo = d & 1 ? 40000 : 0,
		.port_hi = d & 1 ? 40003 : 0,
	};
}

static void read_jobs(void)
{
	static const char *const hosts[] = {
		"192.0.2.1", "192.0.2.1:70,198.51.100.1", "[2001:db8::1]", "192.0.2.1,192.0.2.3,192.0.2.5",
	};
	static const char *const sources[] = {"large", "three", "empty", "absent"};

	f.n = 1 + fuzz_u8(&f.in) % JOBS;
	for (size_t i = 0; i < f.n; i++) {
		struct client_job *job = &f.jobs[i];
		uint8_t a = fuzz_u8(&f.in), b = fuzz_u8(&f.in);

		job->write = a & 1;
		job->text = a & 2;
		job->host = hosts[a >> 2 & 3];
		job->remote = b & 1 ? "dir/na\x1b" "me" : "file";
		if (job->write)
			snprintf(f.local[i], PATH_MAX, "%s/%s", top, sources[b >> 1 & 3]);
		else
			snprintf(f.local[i], PATH_MAX, "%s/%zu", mine, i);
		if (i == 1 && !job->write)
			must_write(f.local[i], OLD, strlen(OLD));
		job->local = f.local[i];
		f.got |= !job->write;
	}
}

static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	int fds = lowest_fd();
	static pid_t last;
	sigset_t mask;

	/* Another process may have been ended in the middle of an input. */
	if (last != getpid())
		line_leftovers(mine, true);
	last = getpid();
	sigprocmask(SIG_SETMASK, NULL, &mask);
	memset(&f, 0, sizeof(f));
	f.in = (struct fuzz_input){bytes, len};
	line_start(MONO_SEC, &ears);
	read_options();
	read_jobs();
	f.client = client_new(&f.options, &view);
	FUZZ_MUST(f.client != NULL);
	check_jobs(client_run(f.client, f.jobs, f.n));
	line_stop();
	client_del(f.client);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	FUZZ_MUST(lowest_fd() == fds);
	FUZZ_MUST(!f.got || line_leftovers(mine, true) == 0);
	return 0;
}
