/*
 * The examination. Each question builds on the answer to the one before: does anything answer, from where, to which
 * options; how large may a block be and how fast does it go (doctor_speed.c); may one write.
 */
#include "doctor_int.h"

#include "log.h"
#include "route.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ADDRESSES 8
#define TRIES 3  /* fewer if --retries says so */

/* Saying. */

static void line(const char *label, const char *fmt, va_list ap)
{
	printf("%-9s", label);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

#define SAY(label, fmt) \
	do { \
		va_list ap; \
		va_start(ap, fmt); \
		line(label, fmt, ap); \
		va_end(ap); \
	} while (0)

void doctor_well(const char *fmt, ...)
{
	SAY("ok", fmt);
}

void doctor_limited(struct doctor *d, const char *fmt, ...)
{
	if (d->status == DOCTOR_WELL)
		d->status = DOCTOR_LIMITED;
	SAY("limited", fmt);
}

void doctor_broken(struct doctor *d, const char *fmt, ...)
{
	d->status = DOCTOR_BROKEN;
	SAY("broken", fmt);
}

void doctor_remedy(const char *fmt, ...)
{
	SAY("  do:", fmt);
}

/* Asking. */

static struct probe_answer ask(const struct doctor *d, bool write, const char *name, const struct option_set *options)
{
	uint8_t buf[2048];
	struct probe probe = d->probe;
	struct probe_answer a;
	size_t len = probe_request(buf, sizeof(buf), write, name, options);

	probe.offered = options;
	if (probe_ask(&probe, buf, len, &a) != 0)
		memset(&a, 0, sizeof(a));
	return a;
}

struct probe_answer doctor_read(const struct doctor *d, const struct option_set *options)
{
	return ask(d, false, d->file != NULL ? d->file : d->name, options);
}

/* Reachable. */

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
		doctor_broken(d, "port %u answers, but what a transfer sends from its new port does not arrive", port);
		printf("  why:   a firewall or NAT between here and there drops replies from a port that was not asked\n");
		doctor_remedy("let the firewall follow TFTP (nf_conntrack_tftp), or open a range of ports and give it to the "
		    "server (--port-range), or let it answer from its port (--single-port)");
	} else if (refuses_elsewhere(d)) {
		doctor_broken(d, "the host is there and refuses other ports, but nothing comes back from port %u", port);
		printf("  why:   a server that answers from a new port whose replies a firewall or NAT drops, or a firewall "
		    "that drops the requests\n");
		doctor_remedy("look into the server's log whether the requests arrive; if they do, see nf_conntrack_tftp, "
		    "--port-range and --single-port; if not, open UDP port %u", port);
	} else {
		doctor_broken(d, "nothing comes back, neither from port %u nor from any other", port);
		printf("  why:   the host is down, the route is wrong, or a firewall drops everything\n");
		doctor_remedy("try ping; look at the firewalls on the way; is this the right address?");
	}
}

static void explain_icmp(struct doctor *d, int err)
{
	unsigned port = addr_port(&d->to);

	if (err == ECONNREFUSED) {
		doctor_broken(d, "the host is there, but nothing listens on UDP port %u", port);
		doctor_remedy("start the TFTP server, or ask the port that it listens on (tftp doctor HOST:PORT)");
	} else {
		doctor_broken(d, "the host cannot be reached: %s", strerror(err));
		doctor_remedy("check the address, the cable and the route; a firewall may also answer this");
	}
}

static void explain_sender(struct doctor *d, const struct probe_answer *a)
{
	char text[ADDR_TEXT];

	if (!a->same_host) {
		doctor_limited(d, "answers come from another address: %s", addr_host(&a->from, text));
		printf("  why:   the server has several addresses and answers from the wrong one, or NAT stands in between\n");
		doctor_remedy("let the server answer from the address that was asked (bind it to one); until then: "
		    "--relaxed-peer");
	} else if (a->same_port && a->op == PACKET_ERROR) {
		/* Many servers refuse from the port that was asked and transfer from a new one. */
		printf("%-9swhether a transfer's packets arrive, which come from a new port: name a FILE that it has\n",
		    "unknown");
	} else if (a->same_port) {
		doctor_well("answers come from port %u itself: firewalls and NAT have no trouble with that",
		    addr_port(&a->from));
	} else {
		doctor_well("answers come from a port of the transfer's own, and arrive here");
	}
}

static void check_reachable(struct doctor *d)
{
	struct option_set none = {.n = 0};
	struct probe_answer a = doctor_read(d, &none);

	if (a.err != 0) {
		explain_icmp(d, a.err);
		return;
	}
	if (!a.came) {
		explain_silence(d);
		return;
	}
	d->works = true;
	doctor_well("a TFTP server answers after %.2f ms", (double)a.rtt / MONO_MS);
	if (a.lost > 0)
		doctor_limited(d, "%u of %u requests were lost", a.lost, a.lost + 1);
	explain_sender(d, &a);
	if (d->file == NULL)
		return;
	if (a.op == PACKET_ERROR) {
		doctor_broken(d, "it does not give \"%s\": %s (error %u)", d->file_text, a.text, a.code);
		doctor_remedy(a.code == ERROR_ACCESS ? "check the file's permissions on the server" :
		    "check the name, upper and lower case and slashes count; it is relative to the server's directory");
		d->file = NULL;
	} else {
		doctor_well("it has \"%s\"", d->file_text);
	}
}

/* Options. */

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
	a = doctor_read(d, &set);
	if (!a.came) {
		doctor_limited(d, "a request with options is not answered, one without is");
		printf("  why:   an old server, or a firewall that takes options for an attack\n");
		doctor_remedy("use --no-options, or a newer server");
		return false;
	}
	if (a.op == PACKET_ERROR && d->file == NULL) {
		printf("%-9sits options, blocks and speed: name a FILE that it has, to learn of them\n", "unknown");
		return false;
	}
	if (a.op == PACKET_ERROR) {
		doctor_limited(d, "a request with options is refused: %s (error %u)", a.text, a.code);
		doctor_remedy("use --no-options, or a newer server");
		return false;
	}
	if (a.op == PACKET_DATA) {
		doctor_limited(d, "it ignores all options: blocks of 512 bytes, one at a time");
		doctor_remedy("use a newer server, or live with it: it works, slowly");
		return false;
	}
	doctor_well("options: %s", a.names);
	d->strange = a.wrong != NULL;
	if (d->strange) {
		doctor_limited(d, "its answer to them is wrong, strict clients refuse it: %s", a.wrong);
		doctor_remedy("use --no-options, or a newer server");
	}
	if (!(a.options & OPTION_BIT(OPTION_WINDOWSIZE))) {
		doctor_limited(d, "it has no windows: one block for each round trip");
		doctor_remedy("a server with windowsize (RFC 7440) is many times as fast where the round trip is long");
	}
	if (!(a.options & OPTION_BIT(OPTION_BLKSIZE)))
		doctor_limited(d, "it has no blksize: blocks of 512 bytes");
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
	a = doctor_read(d, &set);
	if (a.came && a.op == PACKET_OACK)
		doctor_well("it is likely %s", likely(&a));
}

/* Uploads. */

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
		doctor_well("uploads of new files are taken (an empty \"%s\" may be left there)", d->name);
	else if (a.code == ERROR_NOT_FOUND)
		doctor_well("uploads go only to files that exist there already: %s", a.text);
	else
		doctor_well("uploads are refused: %s (error %u); a server that should take them has to be told (--create)",
		    a.text, a.code);
}

/* All of it. */

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
	doctor_well("%s is %s%s", d->host_text, addr_print(&d->to, text), n > 1 ? " (and has other addresses)" : "");
	return 0;
}

/* What is not sent cannot be examined. */
static bool check_route(struct doctor *d)
{
	const struct addr *from = &d->args->options.bind;
	int err = route_look(&d->to, from, &d->route);

	if (err == 0)
		return true;
	doctor_broken(d, "nothing can be sent there: %s", strerror(-err));
	doctor_remedy("%s", route_hint(&d->to, from->sa.sa_family != AF_UNSPEC, -err));
	return false;
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
	d.probe = (struct probe){.to = &d.to, .local = args->options.bind, .tries = tries < TRIES ? tries : TRIES,
	    .wait = MONO_SEC, .data = true};
	if (check_route(&d))
		check_reachable(&d);
	if (d.works) {
		if (check_options(&d) && d.file != NULL) {
			guess_server(&d);
			if (doctor_blocks(&d))
				doctor_speed(&d);
		}
		if (d.interrupted) {
			fputs("tftp: interrupted\n", stderr);
			return CLIENT_INTERRUPTED;
		}
		doctor_loss(&d);
		check_uploads(&d);
	}
	printf("%s\n", d.status == DOCTOR_WELL ? "all is well" : d.status == DOCTOR_LIMITED ? "it works, with limits" :
	    "it does not work");
	return (int)d.status;
}
