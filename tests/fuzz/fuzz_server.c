/*
 * A whole server session: request.c and everything it leads to, over a real directory, fed with arbitrary datagrams
 * from several peers at arbitrary times, in a dozen configurations, with ICMP errors, full sockets and signals in between.
 * What must hold: an ERROR is never answered, nothing goes to those who are denied or from whom nothing came, an
 * unproved peer is not worth much, DATA is what the file holds, an acknowledged upload is in its file, nothing from
 * outside the directory is ever sent and nothing outside it changes, and in the end silence leaves nothing behind.
 *
 *	configuration, then steps: op (its high bit: more comes in the same wake-up), and what that op needs
 */
#include "fuzz.h"
#include "line.h"
#include "names.h"
#include "request.h"
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "not-for-anybody"
#define FILES_MAX 70000u
#define PEERS 6

enum op { REQUEST, LISTENER, JOB, ACK, DATA, WAIT, EXPIRE, SOCKET, ICMP, SIGNAL, OPS };

static char top[] = "/tmp/fuzz-server.XXXXXX", root[64], rules[64];
static pid_t owner;

/* The directory that each of them serves is put behind its words. */
static const struct setup {
	const char *words[10];
	bool whole;               /* an upload lies under the name it was asked for, and replaces what was there */
	bool waits;               /* a request may have to wait, and be answered later */
} setups[] = {
	{.words = {NULL}, .whole = true},
	{.words = {"--create"}, .whole = true},
	{.words = {"--create", "--single-port", "--without", "gso"}, .whole = true},
	{.words = {"--create", "--rate-per-client", "20000", "--rate", "60000"}, .whole = true, .waits = true},
	{.words = {"--create", "--single-port", "--max-transfers", "2", "--max-per-client", "1"}, .whole = true,
	    .waits = true},
	{.words = {"--create", "--on-exists", "version", "--keep", "2", "--mkdir"}},
	{.words = {"--create", "--on-exists", "same", "--max-upload", "3000", "--relaxed-peer"}},
	{.words = {"--create", "--on-exists", "refuse", "--keep-partial", "--names", "strict"}},
	{.words = {"--create", "--upload-name", "up/{ip}-{name}", "--mkdir", "--port-range", "30000:30002"}},
	{.words = {"--create", "--map-file", rules, "-vvv"}},
	{.words = {"-L", "-c", "-s", "--deny", "198.51.100.0/24", "--allow-write", "192.0.2.0/25"}},
	{.words = {"-L", "-c", "-p", "--refuse", "blksize", "--answer-broadcast", "--symlinks", "any"}},
};
#define SETUPS (sizeof(setups) / sizeof(setups[0]))

static struct config configs[SETUPS];
static struct log quiet;

struct peer {
	struct addr addr;
	uint64_t heard, sent;     /* bytes of requests from it, and to it */
	unsigned requests;
	bool proved;              /* it has sent something else */
};

static struct {
	struct server server;
	const struct setup *setup;
	struct peer peers[PEERS];
	bool foreign;             /* DATA that we did not make may have been stored */
	bool dirty;               /* the directory may hold something new */
	const struct peer *hush;  /* nothing may be sent to it in this wake-up */
	unsigned heard;           /* datagrams in this wake-up: another may have its answer */
} f;

static uint8_t content(uint64_t off)
{
	return (uint8_t)((off * 2654435761u) >> 13 ^ off);
}

/* The directory. */

static void must_write(const char *dir, const char *name, const void *bytes, size_t len)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	FUZZ_MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, 0666) == 0 && close(fd) == 0);
}

static void fill_root(void)
{
	static const struct { const char *name; uint32_t size; } files[] = {
		{"a", 3}, {"empty", 0}, {"block", 512}, {"Two", 1025}, {"pxelinux.cfg/default", 700}, {"large", FILES_MAX},
	};
	static uint8_t bytes[FILES_MAX];
	char path[PATH_MAX];

	for (uint32_t i = 0; i < FILES_MAX && bytes[FILES_MAX - 1] == 0; i++)
		bytes[i] = content(i);
	snprintf(path, sizeof(path), "%s/pxelinux.cfg", root);
	FUZZ_MUST(mkdir(path, 0777) == 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		must_write(root, files[i].name, bytes, files[i].size);
	snprintf(path, sizeof(path), "%s/out", root);
	FUZZ_MUST(symlink("../secret", path) == 0);
	snprintf(path, sizeof(path), "%s/link", root);
	FUZZ_MUST(symlink("a", path) == 0);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	line_leftovers(top, true);
	rmdir(top);
}

static void set_rules(unsigned which)
{
	static const char *const texts[] = {
		"rg \\\\ /\nri ^[a-z]:\na \\.pvt$ not \\0\nr ^up(.)/ \\U\\1\\E-\\i-\n", "r ^ x", "j . nowhere\n",
		"rgg [ nothing\n", "",
		"s ^large$\nr ^large$ a\n", "e ^a\\b\nr .* \\L\\0",
	};

	must_write(top, "rules", texts[which % 7], strlen(texts[which % 7]));
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	owner = getpid();
	FUZZ_MUST(mkdtemp(top) != NULL && chmod(top, 0755) == 0);
	atexit(clean_up);
	snprintf(root, sizeof(root), "%s/root", top);
	snprintf(rules, sizeof(rules), "%s/rules", top);
	FUZZ_MUST(mkdir(root, 0777) == 0);
	log_init(&quiet, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_DEBUG);
	must_write(top, "secret", SECRET, strlen(SECRET));
	set_rules(0);
	fill_root();
	for (size_t i = 0; i < SETUPS; i++) {
		static char *argvs[SETUPS][16];
		char error[CONFIG_ERROR_MAX] = "", **words = argvs[i];
		int n = 0;

		words[n++] = (char *)"tftpd";
		for (int w = 0; setups[i].words[w] != NULL; w++)
			words[n++] = (char *)setups[i].words[w];
		words[n++] = (char *)"--no-sync";
		words[n++] = (char *)"--give-up";
		words[n++] = (char *)"5";
		words[n++] = root;
		optind = 0; /* from the start again */
		if (config_parse(&configs[i], n, words, error) != 0)
			fprintf(stderr, "configuration %zu: %s\n", i, error);
		FUZZ_MUST(*error == '\0');
	}
	return 0;
}

/* What leaves. */

static struct peer *peer_of(const struct addr *a)
{
	for (int i = 0; i < PEERS; i++)
		if (addr_equal(&f.peers[i].addr, a))
			return &f.peers[i];
	return NULL;
}

static struct job *job_of(const struct addr *peer)
{
	struct job *j = f.server.jobs;

	while (j != NULL && !addr_equal(&j->session.peer, peer))
		j = j->next;
	return j;
}

/* So much may a request, whose sender may be forged, make us send. */
static bool is_modest(const struct peer *p)
{
	return p->proved || p->sent <= p->heard * LIMIT_AMPLIFICATION + p->requests * 1100;
}

static void check_data(const struct job *j, const uint8_t *buf, size_t len)
{
	uint64_t block = (uint64_t)buf[2] << 8 | buf[3], blksize = transfer_terms(&j->session.transfer)->blksize;

	FUZZ_MUST(len - PACKET_HEADER <= blksize);
	/* The largest file has fewer than 65536 blocks of 8. */
	for (size_t k = PACKET_HEADER; k < len && !j->text && !f.foreign; k++)
		FUZZ_MUST(buf[k] == content((block - 1) * blksize + k - PACKET_HEADER));
}

static bool is_simple(const char *name)
{
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")] == '\0' && strcmp(name, "out") != 0;
}

/* The last ACK of an upload: here it is. */
static void check_upload(const struct job *j)
{
	const struct transfer_result *r = transfer_verdict(&j->session.transfer);
	static uint8_t bytes[PACKET_MAX * 4];
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	if (!f.setup->whole || j->text || f.foreign || r == NULL || r->outcome != TRANSFER_DONE || !is_simple(j->name) ||
	    r->bytes > sizeof(bytes) || strcmp(j->name, "link") == 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", root, j->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	FUZZ_MUST(n == (ssize_t)r->bytes);
	for (ssize_t k = 0; k < n; k++)
		FUZZ_MUST(bytes[k] == content((uint64_t)k));
	close(fd);
}

static void sent(void *arg, int fd, const struct addr *to, const uint8_t *buf, size_t len)
{
	struct peer *p = peer_of(to);
	const struct job *j = job_of(to);
	struct packet packet;

	(void)arg;
	(void)fd;
	FUZZ_MUST(p != NULL && p != f.hush && (p->requests > 0 || p->proved));
	FUZZ_MUST(access_may_read(&f.server.lists.access, to) || access_may_write(&f.server.lists.access, to));
	FUZZ_MUST(packet_decode(&packet, buf, len) == PACKET_OK && packet.op != PACKET_RRQ && packet.op != PACKET_WRQ);
	FUZZ_MUST(memmem(buf, len, SECRET, strlen(SECRET)) == NULL);
	FUZZ_MUST(packet.op == PACKET_DATA || memmem(buf, len, top, strlen(top)) == NULL);
	p->sent += len;
	FUZZ_MUST(is_modest(p));
	if (packet.op == PACKET_DATA) {
		FUZZ_MUST(j != NULL && !j->write);
		check_data(j, buf, len);
	} else if (packet.op == PACKET_ACK && j != NULL && j->write) {
		check_upload(j);
	}
}

static const struct line_ears ears = {.sent = sent};

/* What arrives. */

static int socket_of(const struct job *j)
{
	return j->session.endpoint->udp.fd;
}

static void arrives(int fd, struct peer *p, const void *bytes, size_t len, unsigned flags)
{
	const struct job *j = job_of(&p->addr);
	struct packet packet;
	bool fine = packet_decode(&packet, bytes, len) == PACKET_OK;

	if (fine && packet.op != PACKET_RRQ && packet.op != PACKET_WRQ) {
		p->proved = true;
	} else {
		p->heard += len;
		p->requests++;
	}
	f.dirty |= fine && packet.op == PACKET_WRQ;
	/*
	 * An ERROR is never answered; but the place of the transfer that it ends is free for a request that waits, our own
	 * ERROR may have waited for room, and one that comes to another port ends nothing.
	 */
	f.hush = NULL;
	if (f.heard++ == 0 && line_idle(fd) && fine && packet.op == PACKET_ERROR && !f.setup->waits &&
	    (j == NULL || (fd == socket_of(j) && transfer_verdict(&j->session.transfer) == NULL)))
		f.hush = p;
	line_put(fd, &p->addr, bytes, len, flags);
}

static struct peer *some_peer(struct fuzz_input *in)
{
	return &f.peers[fuzz_u8(in) % PEERS];
}

/* The bytes that the input says come next. */
static const uint8_t *some_bytes(struct fuzz_input *in, size_t *len)
{
	const uint8_t *p;

	*len = fuzz_u8(in);
	if (*len > in->left)
		*len = in->left;
	p = in->p;
	in->p += *len;
	in->left -= *len;
	return p;
}

static int listener(void)
{
	return f.server.nlisteners > 0 ? f.server.listeners[0].endpoint.udp.fd : -1;
}

/* A request for a file, options as they come: half of the way to one that is granted. */
static void request(struct fuzz_input *in)
{
	static const char *const names[] = {
		"a", "large", "Two", "new", "up/new", "out", "pxelinux.cfg/default", "../secret",
	};
	struct peer *p = some_peer(in);
	uint8_t how = fuzz_u8(in), buf[512] = {0, how & 8 ? PACKET_WRQ : PACKET_RRQ};
	const char *name = names[how & 7], *mode = how & 0x10 ? "netascii" : "octet";
	size_t len = 2, extra;
	const uint8_t *bytes = some_bytes(in, &extra);

	len += (size_t)snprintf((char *)buf + len, 64, "%s", name) + 1;
	len += (size_t)snprintf((char *)buf + len, 64, "%s", mode) + 1;
	if (how & 0x20)
		len += (size_t)snprintf((char *)buf + len, 64, "blksize%c%u", 0, how & 0x40 ? 1428 : 8) + 1;
	if (how & 0x80)
		len += (size_t)snprintf((char *)buf + len, 64, "windowsize%c%u", 0, 3) + 1;
	if (extra > 0)
		memcpy(buf + len, bytes, extra);
	if (listener() >= 0)
		arrives(listener(), p, buf, len + extra, 0);
}

static struct job *some_job(struct fuzz_input *in)
{
	struct job *j = f.server.jobs;

	for (unsigned n = fuzz_u8(in) & 3; n > 0 && j != NULL && j->next != NULL; n--)
		j = j->next;
	return j;
}

static void raw_to_listener(struct fuzz_input *in)
{
	struct peer *p = some_peer(in);
	unsigned flags = fuzz_u8(in) == 0xff ? LINE_GROUP : 0;
	size_t len;
	const uint8_t *bytes = some_bytes(in, &len);

	f.foreign = true;
	if (listener() >= 0)
		arrives(listener(), p, bytes, len, flags);
}

/* To a transfer's own port, from its peer or from somebody else. */
static void raw_to_job(struct fuzz_input *in)
{
	const struct job *j = some_job(in);
	uint8_t from = fuzz_u8(in);
	size_t len;
	const uint8_t *bytes = some_bytes(in, &len);
	struct peer *p = j == NULL ? NULL : from & 0x80 ? &f.peers[from % PEERS] : peer_of(&j->session.peer);

	f.foreign = true;
	if (p == NULL)
		return;
	arrives(socket_of(j), p, bytes, len, 0);
}

static void ack(struct fuzz_input *in)
{
	const struct job *j = some_job(in);
	int8_t delta = (int8_t)fuzz_u8(in);
	uint8_t buf[PACKET_HEADER];

	if (j == NULL)
		return;
	packet_ack(buf, sizeof(buf), (uint16_t)(j->session.transfer.next - 1 + (uint64_t)delta));
	arrives(socket_of(j), peer_of(&j->session.peer), buf, sizeof(buf), 0);
}

/* A run of blocks from the one that is due, the last one short if the input says so. */
static void data(struct fuzz_input *in)
{
	const struct job *j = some_job(in);
	int8_t delta = (int8_t)fuzz_u8(in);
	uint8_t how = fuzz_u8(in), n = (uint8_t)(1 + how % 8);
	static uint8_t buf[PACKET_MAX];

	for (uint8_t i = 0; j != NULL && i < n; i++) {
		size_t blksize = transfer_terms(&j->session.transfer)->blksize, len = blksize;
		int64_t block = (int64_t)j->session.transfer.base + delta + i;

		if (how & 0x80 && i == n - 1)
			len = len * (how >> 3 & 15) / 16;
		if (block < 1 || (uint64_t)block * blksize > FILES_MAX)
			return;
		packet_data_header(buf, (uint16_t)block);
		for (size_t k = 0; k < len; k++)
			buf[PACKET_HEADER + k] = content((uint64_t)(block - 1) * blksize + k);
		arrives(socket_of(j), peer_of(&j->session.peer), buf, len + PACKET_HEADER, 0);
	}
}

static void wake(void)
{
	FUZZ_MUST(loop_once(&f.server.loop, line_now()) == 0);
	f.hush = NULL;
	f.heard = 0;
}

static void expire(void)
{
	const struct loop *l = &f.server.loop;

	if (l->ntimers > 0 && l->heap[0].key > line_now())
		line_pass(l->heap[0].key - line_now());
	wake();
}

static void interfere(struct fuzz_input *in)
{
	static const int errors[] = {EAGAIN, EIO, ECONNREFUSED, EMSGSIZE, ENOBUFS, EPERM, ENETUNREACH, EINVAL};
	uint8_t how = fuzz_u8(in);

	line_room(!(how & 1), how >> 6);
	line_fail_send(how & 2 ? errors[how >> 3 & 7] : 0, 1 + (how >> 6));
	line_fail_socket(how & 4 ? EMFILE : 0, 1);
}

static void icmp(struct fuzz_input *in)
{
	static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH};
	const struct job *j = some_job(in);
	uint8_t how = fuzz_u8(in);

	if (j != NULL)
		line_icmp(socket_of(j), how & 0x80 ? &f.peers[how % PEERS].addr : &j->session.peer, errors[how & 3]);
}

static void signals(struct fuzz_input *in)
{
	static const int numbers[] = {SIGHUP, SIGUSR1, SIGHUP, SIGTERM};
	uint8_t how = fuzz_u8(in);

	set_rules(how >> 2);
	/* A server that has been told to end would have ended its loop. */
	if (!f.server.loop.stop)
		f.server.loop.on_signal(&f.server.loop, numbers[how & 3], line_now());
}

static void step(struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);

	switch ((enum op)((op & 0x7f) % OPS)) {
	case REQUEST:
		request(in);
		break;
	case LISTENER:
		raw_to_listener(in);
		break;
	case JOB:
		raw_to_job(in);
		break;
	case ACK:
		ack(in);
		break;
	case DATA:
		data(in);
		break;
	case WAIT:
		line_pass(fuzz_u16(in) * MONO_MS);
		break;
	case EXPIRE:
		expire();
		break;
	case SOCKET:
		interfere(in);
		break;
	case ICMP:
		icmp(in);
		break;
	case SIGNAL:
		signals(in);
		break;
	case OPS:
		break;
	}
	if (!(op & 0x80))
		wake();
}

/* The frame. */

static struct addr host(const char *text, uint16_t port)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons(port);
	FUZZ_MUST(inet_pton(AF_INET, text, &a.v4.sin_addr) == 1);
	return a;
}

static void begin(unsigned which)
{
	static const char *const hosts[PEERS] = {
		"192.0.2.1", "192.0.2.1", "192.0.2.200", "198.51.100.7", "203.0.113.9", "127.0.0.1",
	};
	struct server *s = &f.server;
	struct listener *l = &s->listeners[0];
	char error[CONFIG_ERROR_MAX];

	memset(&f, 0, sizeof(f));
	f.setup = &setups[which];
	for (int i = 0; i < PEERS; i++)
		f.peers[i].addr = host(hosts[i], (uint16_t)(1024 + i));
	line_start(MONO_SEC, &ears);
	FUZZ_MUST(server_init(s, &configs[which], &quiet) == 0);
	s->exchange.sessions.seed = 1;
	FUZZ_MUST(names_open(&s->names, &configs[which], error) == 0);
	FUZZ_MUST(lists_open(&s->lists, &configs[which], error) == 0);
	l->addr = host("192.0.2.69", 69);
	FUZZ_MUST(udp_listen(&l->endpoint.udp, &l->addr, NULL, false, configs[which].without) == 0);
	FUZZ_MUST(endpoint_add(&l->endpoint, &s->exchange, request_arrived, s) == 0);
	s->nlisteners = 1;
}

/* From here on nobody says anything. */
static void fall_silent(void)
{
	struct server *s = &f.server;

	line_room(true, 0);
	line_fail_send(0, 0);
	line_fail_socket(0, 0);
	wake();
	for (int i = 0; s->jobs != NULL || s->limits.nwaiting > 0; i++) {
		FUZZ_MUST(i < 3000 && s->loop.ntimers > 0);
		expire();
	}
	FUZZ_MUST(s->njobs == 0 && s->exchange.sessions.n == 0);
	FUZZ_MUST(!f.dirty || line_leftovers(root, false) == 0);
}

static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	int fds = lowest_fd();
	static pid_t last;
	sigset_t mask;

	/* Another process may have been ended in the middle of an input. */
	if (last != getpid()) {
		line_leftovers(root, true);
		fill_root();
	}
	last = getpid();
	sigprocmask(SIG_SETMASK, NULL, &mask);
	set_rules(0);
	begin(fuzz_u8(&in) % SETUPS);
	for (int steps = 0; in.left > 0 && steps < 200; steps++)
		step(&in);
	fall_silent();
	line_stop();
	server_free(&f.server);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	FUZZ_MUST(lowest_fd() == fds);
	if (f.dirty) {
		line_leftovers(root, true);
		fill_root();
	}
	return 0;
}
