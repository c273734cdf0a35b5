/*
 * The examination. Each question builds on the answer to the one before: does anything answer, from where, to which
 * options, how large may a block be, how fast does it go, may one write.
 */
#include "doctor.h"

#include "log.h"
#include "probe.h"
#include "progress.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ADDRESSES 8
#define TRIES 3            /* fewer if --retries says so */
#define SAMPLE_SECONDS 2   /* of the file, at most, for each window */

struct doctor {
	const struct args *args;
	const char *host;
	char host_text[128], file_text[128];
	char name[64];             /* of a file that nobody has */
	const char *file;          /* NULL: none is known, or the server lacks it */
	struct addr to;
	struct probe probe;
	uint32_t route;            /* what the route carries without fragments */
	uint32_t blksize;          /* what came through */
	bool works;
	enum doctor_status status;
};

/* ---- saying --------------------------------------------------------------------------------------------------------- */

static void line(const char *label, const char *fmt, va_list ap)
{
	printf("%-9s", label);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

static void well(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void limited(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void broken(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void remedy(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define SAY(label, fmt) \
	do { \
		va_list ap; \
		va_start(ap, fmt); \
		line(label, fmt, ap); \
		va_end(ap); \
	} while (0)

static void well(const char *fmt, ...)
{
	SAY("ok", fmt);
}

static void limited(struct doctor *d, const char *fmt, ...)
{
	if (d->status == DOCTOR_WELL)
		d->status = DOCTOR_LIMITED;
	SAY("limited", fmt);
}

static void broken(struct doctor *d, const char *fmt, ...)
{
	d->status = DOCTOR_BROKEN;
	SAY("broken", fmt);
}

static void remedy(const char *fmt, ...)
{
	SAY("  do:", fmt);
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static struct probe_answer ask(const struct doctor *d, bool write, const char *name, const struct option_set *options)
{
	uint8_t buf[2048];
	struct probe_answer a;
	size_t len = probe_request(buf, sizeof(buf), write, name, options);

	if (probe_ask(&d->probe, buf, len, &a) != 0)
		memset(&a, 0, sizeof(a));
	return a;
}

static struct probe_answer read_with(const struct doctor *d, const struct option_set *options)
{
	return ask(d, false, d->file != NULL ? d->file : d->name, options);
}

/* ---- reachable ------------------------------------------------------------------------------------------------------ */

/* Something malformed: a server that answers it answers from its own port, where a firewall lets replies through. */
static bool answers_from_its_port(const struct doctor *d)
{
	static const uint8_t half[] = "\0\1no end";
	struct probe_answer a;

	return probe_ask(&d->probe, half, sizeof(half) - 1, &a) == 0 && a.came;
}

/* A port where nobody should be: a host that is up, and not shielded, says so. */
static bool refuses_elsewhere(const struct doctor *d)
{
	struct addr other = d->to;
	struct probe p = d->probe;
	struct probe_answer a;
	uint8_t buf[64];
	struct option_set none = {.n = 0};
	size_t len = probe_request(buf, sizeof(buf), false, "x", &none);

	addr_set_port(&other, 47911);
	p.to = &other;
	return probe_ask(&p, buf, len, &a) == 0 && a.err != 0;
}

static void explain_silence(struct doctor *d)
{
	unsigned port = addr_port(&d->to);

	if (answers_from_its_port(d)) {
		broken(d, "port %u answers, but what a transfer sends from its new port does not arrive", port);
		printf("  why:   a firewall or NAT between here and there drops replies from a port that was not asked\n");
		remedy("let the firewall follow TFTP (nf_conntrack_tftp), or open a range of ports and give it to the server "
		    "(--port-range), or let it answer from its port (--single-port)");
	} else if (refuses_elsewhere(d)) {
		broken(d, "the host is there and refuses other ports, but nothing comes back from port %u", port);
		printf("  why:   a server that answers from a new port whose replies a firewall or NAT drops, or a firewall that drops "
		    "the requests\n");
		remedy("look into the server's log whether the requests arrive; if they do, see nf_conntrack_tftp, --port-range and "
		    "--single-port; if not, open UDP port %u", port);
	} else {
		broken(d, "nothing comes back, neither from port %u nor from any other", port);
		printf("  why:   the host is down, the route is wrong, or a firewall drops everything\n");
		remedy("try ping; look at the firewalls on the way; is this the right address?");
	}
}

static void explain_icmp(struct doctor *d, int err)
{
	unsigned port = addr_port(&d->to);

	if (err == ECONNREFUSED) {
		broken(d, "the host is there, but nothing listens on UDP port %u", port);
		remedy("start the TFTP server, or ask the port that it listens on (tftp doctor HOST:PORT)");
	} else {
		broken(d, "the host cannot be reached: %s", strerror(err));
		remedy("check the address, the cable and the route; a firewall may also answer this");
	}
}

static void explain_sender(struct doctor *d, const struct probe_answer *a)
{
	char text[ADDR_TEXT];

	if (!a->same_host) {
		limited(d, "answers come from another address: %s", addr_host(&a->from, text));
		printf("  why:   the server has several addresses and answers from the wrong one, or NAT stands in between\n");
		remedy("let the server answer from the address that was asked (bind it to one); until then: --relaxed-peer");
	} else if (a->same_port && a->op == PACKET_ERROR) {
		/* Many servers refuse from the port that was asked and transfer from a new one. */
		printf("%-9swhether a transfer's packets arrive, which come from a new port: name a FILE that it has\n", "unknown");
	} else if (a->same_port) {
		well("answers come from port %u itself: firewalls and NAT have no trouble with that", addr_port(&a->from));
	} else {
		well("answers come from a port of the transfer's own, and arrive here");
	}
}

static void check_reachable(struct doctor *d)
{
	struct option_set none = {.n = 0};
	struct probe_answer a = read_with(d, &none);

	if (a.err != 0) {
		explain_icmp(d, a.err);
		return;
	}
	if (!a.came) {
		explain_silence(d);
		return;
	}
	d->works = true;
	well("a TFTP server answers after %.2f ms", (double)a.rtt / MONO_MS);
	if (a.lost > 0)
		limited(d, "%u of %u requests were lost", a.lost, a.lost + 1);
	explain_sender(d, &a);
	if (d->file == NULL)
		return;
	if (a.op == PACKET_ERROR) {
		broken(d, "it does not give \"%s\": %s (error %u)", d->file_text, a.text, a.code);
		remedy(a.code == ERROR_ACCESS ? "check the file's permissions on the server" :
		    "check the name, upper and lower case and slashes count; it is relative to the server's directory");
		d->file = NULL;
	} else {
		well("it has \"%s\"", d->file_text);
	}
}

/* ---- options -------------------------------------------------------------------------------------------------------- */

static const char *likely(const struct probe_answer *a)
{
	unsigned extra = OPTION_BIT(OPTION_BLKSIZE2) | OPTION_BIT(OPTION_UTIMEOUT) | OPTION_BIT(OPTION_ROLLOVER);
	bool windows = a->options & OPTION_BIT(OPTION_WINDOWSIZE);

	if (a->multicast)
		return "atftpd";
	if ((a->options & extra) && windows)
		return "tftpd (this suite's), or a tftp-hpa after 5.2";
	if (a->options & extra)
		return "tftp-hpa";
	if (windows)
		return "a server with windows: atftpd, a Windows server, or another recent one";
	if (a->options & OPTION_BIT(OPTION_TIMEOUT))
		return "a server with RFC 2349's options and no windows";
	return "dnsmasq or another small one";
}

/* False: there is nothing to be learnt about larger blocks and windows. */
static bool check_options(struct doctor *d)
{
	struct option_set set = {.n = 0};
	struct probe_answer a;

	options_add(&set, OPTION_TSIZE, 0);
	options_add(&set, OPTION_BLKSIZE, d->route);
	options_add(&set, OPTION_WINDOWSIZE, 16);
	options_add(&set, OPTION_TIMEOUT, 3);
	a = read_with(d, &set);
	if (!a.came) {
		limited(d, "a request with options is not answered, one without is");
		printf("  why:   an old server, or a firewall that takes options for an attack\n");
		remedy("use --no-options, or a newer server");
		return false;
	}
	if (a.op == PACKET_ERROR && d->file == NULL) {
		printf("%-9sits options, blocks and speed: name a FILE that it has, to learn of them\n", "unknown");
		return false;
	}
	if (a.op == PACKET_ERROR) {
		limited(d, "a request with options is refused: %s (error %u)", a.text, a.code);
		remedy("use --no-options, or a newer server");
		return false;
	}
	if (a.op == PACKET_DATA) {
		limited(d, "it ignores all options: blocks of 512 bytes, one at a time");
		remedy("use a newer server, or live with it: it works, slowly");
		return false;
	}
	well("options: %s", a.names);
	if (!(a.options & OPTION_BIT(OPTION_WINDOWSIZE))) {
		limited(d, "it has no windows: one block for each round trip, at most %.2f MB/s here",
		    (double)d->route / ((double)a.rtt / MONO_SEC) / 1e6);
		remedy("a server with windowsize (RFC 7440) is many times as fast where the round trip is long");
	}
	if (!(a.options & OPTION_BIT(OPTION_BLKSIZE)))
		limited(d, "it has no blksize: blocks of 512 bytes");
	return true;
}

/* What only some servers know, asked apart: a strict one may refuse it all. */
static void guess_server(struct doctor *d)
{
	struct option_set set = {.n = 0};
	struct probe_answer a;

	options_add(&set, OPTION_TSIZE, 0);
	options_add(&set, OPTION_BLKSIZE2, 1024);
	options_add(&set, OPTION_UTIMEOUT, 1000000);
	options_add(&set, OPTION_WINDOWSIZE, 16);
	options_add(&set, OPTION_ROLLOVER, 0);
	a = read_with(d, &set);
	if (a.came && a.op == PACKET_OACK)
		well("it is likely %s", likely(&a));
}

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

/* Whether a block of this size comes. *granted: what the server made of it; *len: what came. */
static bool block_comes(struct doctor *d, uint32_t size, uint32_t *granted, size_t *len)
{
	struct option_set set = {.n = 0};
	struct probe_answer a;

	options_add(&set, OPTION_BLKSIZE, size);
	a = read_with(d, &set);
	*granted = a.came && (a.options & OPTION_BIT(OPTION_BLKSIZE)) ? (uint32_t)a.value[OPTION_BLKSIZE] : PACKET_BLKSIZE;
	*len = a.len;
	return a.data;
}

static void blocks_end(struct doctor *d, uint32_t failed)
{
	if (failed <= d->route) {
		limited(d, "blocks of %u bytes arrive, blocks of %u do not, though the route here would carry %u", d->blksize, failed,
		    d->route);
		printf("  why:   somewhere on the way the MTU is smaller, and whoever drops the packets does not say so\n");
		remedy("correct the MTU (tunnels, VXLAN, bridges); until then: --blksize %u, or the server's --blocksize %u",
		    d->blksize, d->blksize);
	} else {
		well("blocks up to %u bytes arrive; larger ones go in fragments, and fragments are lost above that", d->blksize);
		printf("  note:  the default stays below; do not ask for more than --blksize %u\n", d->route);
	}
}

static void check_blocks(struct doctor *d)
{
	const uint32_t sizes[] = {512, 1024, 1228, 1428, d->route, 4096, 16384, 65464};
	uint32_t granted, last = 0;
	size_t len;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i] <= last)
			continue;
		last = sizes[i];
		if (!block_comes(d, sizes[i], &granted, &len)) {
			if (d->blksize == 0)
				limited(d, "no block of \"%s\" comes, not even of 512 bytes", d->file_text);
			else
				blocks_end(d, sizes[i]);
			return;
		}
		if (granted < sizes[i]) {
			well("blocks up to %u bytes, which is what the server allows", granted);
			d->blksize = granted;
			return;
		}
		/* A block that the file does not fill proves nothing about larger ones. */
		if (len < granted) {
			d->blksize = sizes[i];
			printf("%-9sblocks above %zu bytes: \"%s\" is too small to tell\n", "unknown", len, d->file_text);
			return;
		}
		d->blksize = sizes[i];
	}
	well("blocks up to %u bytes arrive", d->blksize);
}

/* ---- speed ---------------------------------------------------------------------------------------------------------- */

struct sample {
	uint32_t window;      /* agreed */
	double rate;          /* bytes per second */
	uint64_t bytes;
	uint32_t blksize;
	uint64_t blocks;      /* that came */
	uint64_t missing;     /* that others overtook, or that had to be asked for again */
	uint16_t next;        /* the block that should come next */
};

/* A block that comes before the one that is due means that the due one was lost, or overtaken, which is rare. */
static void count_block(void *arg, bool sent, const struct addr *peer, const uint8_t *buf, size_t len)
{
	struct sample *s = arg;
	struct packet p;
	uint16_t ahead;

	(void)peer;
	if (sent || packet_decode(&p, buf, len) != PACKET_OK || p.op != PACKET_DATA)
		return;
	s->blocks++;
	ahead = (uint16_t)(p.block - s->next);
	if (ahead > 1024)
		return;
	s->missing += ahead;
	s->next = (uint16_t)(p.block + 1);
}

/* Fetch the file, or as much of it as comes in a short time, into nothing. False: nothing came. */
static bool measure(struct doctor *d, uint32_t window, struct sample *s)
{
	struct client_view view = {.packet = count_block, .arg = s};
	struct client_options o = d->args->options;
	struct client_job job = {.host = d->host, .remote = d->file, .local = "/dev/null"};
	struct client *c;

	*s = (struct sample){.next = 1};
	o.max_time = SAMPLE_SECONDS;
	o.windowsize = window;
	o.relaxed_peer = true;
	if (o.blksize == 0 && d->blksize != 0)
		o.blksize = d->blksize < d->route ? d->blksize : d->route;
	c = client_new(&o, &view);
	if (c == NULL)
		return false;
	client_run(c, &job, 1);
	client_del(c);
	s->window = job.out.terms.windowsize;
	s->bytes = job.out.bytes;
	s->missing += job.out.resent;
	s->blksize = job.out.terms.blksize;
	s->rate = job.out.took > 0 ? (double)s->bytes / ((double)job.out.took / MONO_SEC) : 0;
	return s->bytes > 0;
}

static void check_speed(struct doctor *d)
{
	static const uint32_t windows[] = {1, 4, 16, 44};
	struct sample best = {.window = 0}, s;
	uint64_t blocks = 0, missing = 0;
	char rate[16];

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		if (!measure(d, windows[i], &s))
			break;
		/* A window has to be clearly better than a smaller one. */
		if (s.rate > best.rate * 1.1)
			best = s;
		blocks += s.blocks;
		missing += s.missing;
		if (s.window < windows[i])
			break;
	}
	if (best.window == 0) {
		limited(d, "\"%s\" does not come, though its first block did", d->file_text);
		return;
	}
	progress_bytes(rate, best.rate);
	well("best window: %u (%s/s in blocks of %u)", best.window, rate, best.blksize);
	if (missing * 200 > blocks) {
		limited(d, "packets are lost: about %.1f %%", (double)missing * 100 / (double)(blocks + missing));
		remedy("look for a bad cable, a duplex mismatch or an overloaded link");
	} else {
		well("no loss to speak of: %llu of %llu blocks", (unsigned long long)missing, (unsigned long long)blocks);
	}
}

/* ---- uploads -------------------------------------------------------------------------------------------------------- */

static void check_uploads(struct doctor *d)
{
	struct option_set none = {.n = 0};
	struct probe_answer a;

	/* Nothing but the answer to the request is of interest, and silence has been explained if it was there. */
	if (d->probe.tries > 2)
		d->probe.tries = 2;
	a = ask(d, true, d->name, &none);

	if (!a.came)
		printf("%-9suploads: an upload request is not answered\n", "unknown");
	else if (a.op != PACKET_ERROR)
		well("uploads of new files are taken (an empty \"%s\" may be left there)", d->name);
	else if (a.code == ERROR_NOT_FOUND)
		well("uploads go only to files that exist there already: %s", a.text);
	else
		well("uploads are refused: %s (error %u); a server that should take them has to be told (--create)", a.text, a.code);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

static int find_host(struct doctor *d)
{
	const struct client_options *o = &d->args->options;
	char *copy = strdup(d->host), *host, *port, text[ADDR_TEXT];
	struct addr addrs[ADDRESSES];
	int n = EAI_MEMORY, family = o->bind.sa.sa_family != AF_UNSPEC ? o->bind.sa.sa_family : o->family;

	if (copy != NULL)
		n = addr_split(copy, &host, &port) != 0 || host == NULL ? EAI_NONAME :
		    addr_resolve(host, port, 69, family, addrs, ADDRESSES);
	free(copy);
	if (n <= 0) {
		fprintf(stderr, "tftp: cannot find the host \"%s\": %s\n", d->host_text, gai_strerror(n));
		return CLIENT_HOST;
	}
	d->to = addrs[0];
	well("%s is %s%s", d->host_text, addr_print(&d->to, text), n > 1 ? " (and has other addresses)" : "");
	return 0;
}

static uint32_t route_mtu_blksize(const struct addr *to)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 1500;
	socklen_t len = sizeof(mtu);

	if (fd >= 0 && connect(fd, &to->sa, addr_len(to)) == 0)
		getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len);
	if (fd >= 0)
		close(fd);
	mtu -= v6 ? 52 : 32;
	return mtu < 512 ? 512 : mtu > (int)BLKSIZE_MAX ? BLKSIZE_MAX : (uint32_t)mtu;
}

int doctor_run(const struct args *args, const char *host, const char *file)
{
	struct doctor d = {.args = args, .host = host, .file = file};
	unsigned tries = args->options.retries + 1;
	uint32_t random = 0;
	int err;

	log_safe(d.host_text, sizeof(d.host_text), host, strlen(host));
	log_safe(d.file_text, sizeof(d.file_text), file != NULL ? file : "", file != NULL ? strlen(file) : 0);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = (uint32_t)getpid();
	snprintf(d.name, sizeof(d.name), "tftp-doctor-%08x", random);
	err = find_host(&d);
	if (err != 0)
		return err;
	d.route = route_mtu_blksize(&d.to);
	d.probe = (struct probe){.to = &d.to, .local = args->options.bind, .tries = tries < TRIES ? tries : TRIES, .wait = MONO_SEC, .data = true};
	check_reachable(&d);
	if (d.works) {
		if (check_options(&d) && d.file != NULL) {
			guess_server(&d);
			check_blocks(&d);
			check_speed(&d);
		}
		check_uploads(&d);
	}
	printf("%s\n", d.status == DOCTOR_WELL ? "all is well" : d.status == DOCTOR_LIMITED ? "it works, with limits" :
	    "it does not work");
	return (int)d.status;
}
