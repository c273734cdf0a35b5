/* How large a block may be, which window is fastest, and what is lost: measured with the file itself. */
#include "doctor_int.h"
#include "progress.h"

#include <signal.h>
#include <stdio.h>

#define SAMPLE_SECONDS 2  /* of the file, at most, for each window */
#define NARROW_WAIT (300 * MONO_MS)
#define LOSS_REQUESTS 200
#define LOSS_SECONDS 3

/* Blocks. */

/* Whether a block of this size comes. *granted: what the server made of it; *len: what came. */
static bool block_comes(struct doctor *d, uint32_t size, uint32_t *granted, size_t *len)
{
	struct option_set set = {.n = 0};
	struct probe_answer a;

	options_add(&set, OPTION_BLKSIZE, size);
	a = doctor_read(d, &set);
	*granted = a.came && (a.options & OPTION_BIT(OPTION_BLKSIZE)) ? (uint32_t)a.value[OPTION_BLKSIZE] : PACKET_BLKSIZE;
	*len = a.len;
	return a.data;
}

/* Between a block that arrives and one that does not: the largest that does. By halves: each wait is a short one. */
static uint32_t halve(struct doctor *d, uint32_t failed)
{
	struct probe patient = d->probe;
	uint32_t granted;
	size_t len;

	d->probe.tries = 2;
	d->probe.wait = NARROW_WAIT;
	while (failed - d->blksize > 1) {
		uint32_t middle = d->blksize + (failed - d->blksize) / 2;

		if (!block_comes(d, middle, &granted, &len))
			failed = middle;
		else if (granted == middle && len == middle)
			d->blksize = middle;
		else
			break;
	}
	d->probe = patient;
	return failed;
}

/* A short wait may have been too short, or its packets lost: the smallest that did not arrive has a second chance. */
static uint32_t narrow(struct doctor *d, uint32_t failed)
{
	uint32_t most = failed, granted;
	size_t len;

	while ((failed = halve(d, most)) < most && block_comes(d, failed, &granted, &len) && len == failed)
		d->blksize = failed;
	return failed;
}

static void blocks_end(struct doctor *d, uint32_t failed)
{
	if (failed <= d->route && d->blksize > 0) {
		failed = narrow(d, failed);
		doctor_limited(d, "blocks of %u bytes arrive, blocks of %u do not, though the route here would carry %u",
		    d->blksize, failed, d->route);
		printf("  why:   somewhere on the way the MTU is smaller, and whoever drops the packets does not say so\n");
		doctor_remedy("correct the MTU (tunnels, VXLAN, bridges); until then: --blksize %u, or the server's "
		    "--blocksize %u", d->blksize, d->blksize);
	} else {
		doctor_well("blocks up to %u bytes arrive; larger ones go in fragments, and fragments are lost above that",
		    d->blksize);
		printf("  note:  the default stays below; do not ask for more than --blksize %u\n", d->route);
	}
}

/* Its answers arrive and its blocks do not: it has not seen that they were acknowledged. */
static void no_block(struct doctor *d)
{
	if (d->strange) {
		doctor_limited(d, "no block of \"%s\" comes, not even of 512 bytes", d->file_text);
		return;
	}
	doctor_broken(d, "no block of \"%s\" comes, not even of 512 bytes, though an answer to options does", d->file_text);
	printf("  why:   what is sent to the new port that the server answers from is dropped, as by a firewall that opens "
	    "the port %u alone\n", addr_port(&d->to));
	doctor_remedy("let that firewall follow TFTP (nf_conntrack_tftp), or give the server a range of ports and open it "
	    "(--port-range), or let it answer from its port (--single-port)");
}

bool doctor_blocks(struct doctor *d)
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
				no_block(d);
			else
				blocks_end(d, sizes[i]);
			return d->blksize > 0;
		}
		if (granted < sizes[i]) {
			doctor_well("blocks up to %u bytes, which is what the server allows", granted);
			d->blksize = granted;
			return true;
		}
		/* A block that the file does not fill proves nothing about larger ones. */
		if (len < granted) {
			d->blksize = sizes[i];
			printf("%-9sblocks above %zu bytes: \"%s\" is too small to tell\n", "unknown", len, d->file_text);
			return true;
		}
		d->blksize = sizes[i];
	}
	if (d->blksize > d->route)
		doctor_well("blocks up to %u bytes arrive, up to %u without fragments", d->blksize, d->route);
	else
		doctor_well("blocks up to %u bytes arrive", d->blksize);
	return true;
}

/* Speed. */

struct sample {
	uint32_t window;      /* agreed */
	double rate;          /* bytes per second */
	uint64_t bytes;
	uint32_t blksize;
	uint64_t blocks;      /* that came */
	uint64_t missing;     /* that others overtook */
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
	sigset_t mask;

	*s = (struct sample){.next = 1};
	o.max_time = SAMPLE_SECONDS;
	o.windowsize = window;
	o.relaxed_peer = true;
	if (o.blksize == 0 && d->blksize != 0)
		o.blksize = d->blksize < d->route ? d->blksize : d->route;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	c = client_new(&o, &view);
	if (c != NULL) {
		client_run(c, &job, 1);
		d->interrupted = client_interrupted(c) != 0;
		client_del(c);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL); /* the other questions are ended by a signal as any program is */
	if (c == NULL || d->interrupted)
		return false;
	s->window = job.out.terms.windowsize;
	s->bytes = job.out.bytes;
	s->blksize = job.out.terms.blksize;
	s->rate = job.out.took > 0 ? (double)s->bytes / ((double)job.out.took / MONO_SEC) : 0;
	return s->bytes > 0;
}

void doctor_speed(struct doctor *d)
{
	static const uint32_t windows[] = {1, 4, 16, 44};
	struct sample best = {.window = 0}, s;
	char rate[16];

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		if (!measure(d, windows[i], &s))
			break;
		/* A window has to be clearly better than a smaller one. */
		if (s.rate > best.rate * 1.1)
			best = s;
		d->blocks += s.blocks;
		d->missing += s.missing;
		if (s.window < windows[i])
			break;
	}
	if (d->interrupted)
		return;
	if (best.window == 0) {
		doctor_limited(d, "\"%s\" does not come, though its first block did", d->file_text);
		return;
	}
	progress_bytes(rate, best.rate);
	doctor_well("best window: %u (%s/s in blocks of %u)", best.window, rate, best.blksize);
}

/* Loss. */

static void packets_lost(struct doctor *d, const char *what, unsigned long long lost, unsigned long long of)
{
	doctor_limited(d, "packets are lost: %llu of %llu %s (%.1f %%)", lost, of, what, (double)lost * 100 / (double)of);
	doctor_remedy("look for a bad cable, a duplex mismatch or an overloaded link");
}

/*
 * Two signs, neither of which depends on whose timer repeats what: requests with one answer each, and blocks that came
 * before those that were due. The first tells of both directions but of small packets only, the second of large ones in
 * a crowd, but only where windows are.
 */
void doctor_loss(struct doctor *d)
{
	unsigned long long missing = d->missing, blocks = d->blocks;
	struct probe_loss l;
	unsigned lost;

	if (probe_loss(&d->probe, d->name, LOSS_REQUESTS, LOSS_SECONDS * MONO_SEC, &l) != 0)
		return;
	/* Some servers say nothing about files that they lack. */
	lost = l.answered > 0 && l.sent > l.answered ? l.sent - l.answered : 0;
	if (l.rtt > 0)
		doctor_well("round trip: %.2f ms, the server's work included (the median of %u)", (double)l.rtt / MONO_MS,
		    l.answered);
	if (lost >= 2 && lost * 200 > l.sent)
		packets_lost(d, "requests had no answer", lost, l.sent);
	else if (missing >= 3 && missing * 500 > blocks)
		packets_lost(d, "blocks were missing at first", missing, blocks + missing);
	else if (l.answered > 0 || blocks > 0)
		doctor_well("no loss to speak of: %u of %u requests, %llu of %llu blocks", lost, l.answered > 0 ? l.sent : 0,
		    missing, blocks + missing);
}
