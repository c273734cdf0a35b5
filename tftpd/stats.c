/* SIGUSR1. */
#include "stats.h"

static const char *state_name(enum transfer_state state)
{
	static const char *const names[TRANSFER_STATES] = {
		[TRANSFER_REQUEST] = "asking",
		[TRANSFER_OACK] = "agreeing",
		[TRANSFER_SEND] = "sending",
		[TRANSFER_RECV] = "receiving",
		[TRANSFER_FINISH] = "writing",
		[TRANSFER_DALLY] = "done",
		[TRANSFER_OVER] = "over",
	};

	return names[state];
}

static void log_job(const struct log *log, const struct job *j, mono_t now)
{
	const struct transfer *t = &j->session.transfer;
	double seconds = (double)(now - t->result.started) / MONO_SEC;
	char peer[ADDR_TEXT];
	struct log_event e;

	log_begin(&e, log, LOG_LEVEL_NOTICE, j->write ? "running write" : "running read");
	log_text(&e, "file", j->name);
	log_text(&e, "peer", addr_print(&j->session.peer, peer));
	log_text(&e, "state", state_name(t->state));
	log_u64(&e, "bytes", transfer_bytes(t));
	log_fixed(&e, "seconds", seconds, 3, "");
	if (transfer_rtt(t) > 0)
		log_fixed(&e, "rtt", (double)transfer_rtt(t) / MONO_MS, 3, "ms");
	log_u64(&e, "resent", t->result.resent);
	log_end(&e);
}

static void log_counters(const struct server *s, mono_t now)
{
	const struct server_counters *c = &s->counters;
	struct log_event e;

	log_begin(&e, &s->log, LOG_LEVEL_NOTICE, "status");
	log_fixed(&e, "up", (double)(now - s->started) / MONO_SEC, 0, "s");
	log_u64(&e, "running", s->njobs);
	log_u64(&e, "sent", c->sent);
	log_u64(&e, "received", c->received);
	log_u64(&e, "bytes-sent", c->bytes_sent);
	log_u64(&e, "bytes-received", c->bytes_received);
	log_u64(&e, "failed", c->failed);
	log_u64(&e, "refused", c->refused);
	log_u64(&e, "denied", c->denied);
	log_u64(&e, "probed", c->probed);
	log_u64(&e, "unanswered", s->limits.unproven.n);
	log_u64(&e, "waiting", s->limits.nwaiting);
	log_u64(&e, "queued", s->limits.queued);
	log_u64(&e, "gave-way", s->limits.evicted);
	log_u64(&e, "dropped", s->limits.dropped);
	log_u64(&e, "kernel-drops", s->limits.kernel_drops);
	log_u64(&e, "malformed", s->exchange.malformed);
	log_u64(&e, "strangers", s->exchange.strangers);
	log_end(&e);
}

void stats_log(const struct server *s, mono_t now)
{
	for (const struct job *j = s->jobs; j != NULL; j = j->next)
		log_job(&s->log, j, now);
	log_counters(s, now);
}
