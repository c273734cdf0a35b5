/*
 * One job: which server, which address, with which options, again or not. An attempt is one session (attempt.c); what
 * it came to decides whether there is another one worth making.
 */
#include "client_int.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

static const struct client_options *options_of(const struct task *t)
{
	return t->client->options;
}

/* Which server, which address. */

static void begin_address(struct task *t)
{
	unsigned sends = options_of(t)->retries + 1;
	bool others = t->rest != NULL || t->at + 1 < t->host->n;

	/* Where somebody else may have the file, and where nobody answered before, waiting long is waste. */
	if (others && sends > 3)
		sends = 3;
	if (t->host->silent && sends > 2)
		sends = 2;
	t->sends = sends;
	t->first = t->level = options_of(t)->no_options ? ASK_NONE : t->host->level;
	t->repeated = false;
	t->elsewhere.sa.sa_family = AF_UNSPEC;
}

static void no_host(struct task *t, const char *name, int err)
{
	if (attempt_ended_early(t))
		verdict_early(t, "whose address no name server has given");
	else
		verdict_say(&t->job->out, CLIENT_HOST, "cannot find the host \"%s\" for \"%s\": %s; %s", printable(name).text,
		    printable(t->job->remote).text, gai_strerror(err), err == EAI_AGAIN ?
		    "is the name server up? Try again, or give the address" : "check the name, or give the address");
}

/* Take the next server from the list. False: the outcome says why it cannot be asked. */
static bool begin_host(struct task *t)
{
	char *name = t->rest, *comma = strchr(name, ',');

	t->rest = NULL;
	if (comma != NULL) {
		*comma = '\0';
		t->rest = comma + 1;
	}
	t->at = 0;
	t->host = host_find(t->client, name, t->job->port, t->limit.at);
	if (t->host != NULL && t->host->n > 0) {
		begin_address(t);
		return true;
	}
	if (t->host != NULL && t->host->n == EAI_SERVICE)
		verdict_say(&t->job->out, CLIENT_USAGE, "\"%s\" is no port: it takes 1 to 65535 or the name of a service",
		    printable(t->job->port != NULL ? t->job->port : name).text);
	else
		no_host(t, name, t->host != NULL ? t->host->n : EAI_MEMORY);
	return false;
}

static bool worth_asking_another(const struct task *t)
{
	const struct client_outcome *out = &t->job->out;

	if (t->client->interrupted != 0 || t->out_of_time)
		return false;
	switch (out->status) {
	case CLIENT_OK:
	case CLIENT_WRITE:
	case CLIENT_READ:
	case CLIENT_USAGE:
	case CLIENT_INTERRUPTED:
		return false;
	case CLIENT_HOST:
		return true;
	case CLIENT_REFUSED:
	case CLIENT_SILENT:
		return out->bytes == 0 || (!t->job->write && !t->stream);
	default:
		/* A download that one server does not have or may not give; an upload that is refused stays refused. */
		return !t->job->write && (out->bytes == 0 || !t->stream);
	}
}

/* Another server, from the list. Skips those that have no address. */
static bool next_host(struct task *t)
{
	struct client_outcome *out = &t->job->out;

	while (t->rest != NULL && worth_asking_another(t)) {
		if (out->status != CLIENT_HOST && out->status != CLIENT_REFUSED && out->status != CLIENT_SILENT)
			t->said = *out;
		if (begin_host(t))
			return true;
	}
	if (t->said.status != CLIENT_OK && (out->status == CLIENT_HOST || out->status == CLIENT_REFUSED ||
	    out->status == CLIENT_SILENT))
		*out = t->said;
	return false;
}

/* After an attempt. */

/* Some old servers answer options with an error instead of ignoring them (RFC 1782 asked for that). */
static bool refuses_options(const struct task *t)
{
	const struct transfer *transfer = &t->session.transfer;
	const struct transfer_result *r = &transfer->result;

	return t->request.offered.n > 0 && r->outcome == TRANSFER_PEER_ERROR && !transfer_answered(transfer) &&
	    (r->code == ERROR_OPTION || r->code == ERROR_ILLEGAL || r->code == ERROR_UNDEFINED);
}

/* The server has answered, but not to these options. */
static bool ask_for_less(struct task *t)
{
	unsigned had = t->request.offered.present;

	t->host->silent = false;
	while (t->level < ASK_NONE) {
		t->first = ++t->level;
		ask_offer(t);
		if (t->request.offered.present != had)
			return true;
	}
	return false;
}

/* Silence: perhaps it was the options. */
static bool ask_more_quietly(struct task *t)
{
	t->repeated = true;
	while (t->level < ASK_NONE)
		if (ask_share(t->sends, t->first, ++t->level) > 0)
			return true;
	t->host->silent = true;
	return false;
}

static bool ask_for_smaller_blocks(struct task *t)
{
	uint32_t smaller = ask_smaller(transfer_terms(&t->session.transfer)->blksize);

	if (smaller == 0)
		return false;
	t->host->most = smaller;
	return true;
}

static bool next_address(struct task *t)
{
	enum client_status status = t->job->out.status;
	bool answered = transfer_answered(&t->session.transfer);

	if (t->at + 1 >= t->host->n || !(status == CLIENT_REFUSED || (status == CLIENT_SILENT && !answered)))
		return false;
	t->at++;
	begin_address(t);
	return true;
}

/* Whether the same server is worth another attempt. */
static bool same_server(struct task *t)
{
	enum transfer_outcome outcome = t->session.transfer.result.outcome;

	if (t->client->interrupted != 0 || t->out_of_time)
		return false;
	if (t->black_hole)
		return ask_for_smaller_blocks(t);
	if (refuses_options(t))
		return ask_for_less(t);
	if (outcome == TRANSFER_TIMED_OUT && !transfer_answered(&t->session.transfer) && ask_more_quietly(t))
		return true;
	return next_address(t);
}

/* Nothing could be sent to this address. */
static bool another_way(struct task *t)
{
	if (t->job->out.status != CLIENT_REFUSED || t->gone || t->at + 1 >= t->host->n)
		return false;
	t->at++;
	begin_address(t);
	return true;
}

/* At this address, or at the next one where something can be sent to. */
static bool begin_attempt(struct task *t)
{
	do
		if (attempt_start(t))
			return true;
	while (another_way(t));
	return false;
}

/* After a session: whether there is something left to try with this server. */
static bool judge(struct task *t)
{
	bool again;

	verdict_judge(t);
	again = same_server(t);
	attempt_park(t);
	return again && !t->gone;
}

bool task_next(struct task *t)
{
	bool again = false;

	loop_timer_clear(&t->client->loop, &t->hole);
	if (t->open)
		attempt_remember(t);
	if (!t->complete)
		again = t->open ? judge(t) : another_way(t);
	attempt_close(t);
	if (t->complete)
		return false;
	if (again && begin_attempt(t))
		return true;
	while (!t->gone && next_host(t))
		if (begin_attempt(t))
			return true;
	return false;
}

bool task_start(struct task *t)
{
	const struct client_options *o = options_of(t);
	bool found;

	t->began = t->client->loop.clock();
	if (o->max_time != 0)
		loop_timer_set(&t->client->loop, &t->limit, t->began + (mono_t)o->max_time * MONO_SEC);
	t->rest = t->hosts;
	for (found = begin_host(t) || next_host(t); found && !t->gone; found = next_host(t))
		if (begin_attempt(t))
			return true;
	return false;
}

/* The job's list of servers; those that have been silent in this run come last. NULL: out of memory. */
static char *hosts_of(const struct client *c, const struct client_job *job)
{
	char *list = malloc(strlen(job->host) + 1), *end = list;

	for (int silent = 0; list != NULL && silent < 2; silent++)
		for (const char *name = job->host; name != NULL;) {
			const char *comma = strchr(name, ',');
			size_t len = comma != NULL ? (size_t)(comma - name) : strlen(name);

			if (host_was_silent(c, name, len, job->port) == silent) {
				if (end > list)
					*end++ = ',';
				memcpy(end, name, len);
				end += len;
			}
			name = comma != NULL ? comma + 1 : NULL;
		}
	if (list != NULL)
		*end = '\0';
	return list;
}

struct task *task_new(struct client *c, struct client_job *job)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->client = c;
	t->job = job;
	attempt_init(t);
	t->hosts = hosts_of(c, job);
	if (t->hosts != NULL)
		return t;
	free(t);
	return NULL;
}

void task_del(struct task *t)
{
	attempt_close(t);
	if (t->parked)
		t->park_store.ops->close(&t->park);
	loop_timer_clear(&t->client->loop, &t->limit);
	free(t->hosts);
	free(t);
}
