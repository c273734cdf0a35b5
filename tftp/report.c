/* Printing. */
#include "report.h"

#include "local.h"
#include "log.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* JSON. */

/* One character, which JSON has an escape for unless it is no UTF-8: such a byte comes as \xNN in the text. */
static size_t json_char(FILE *out, const char *s)
{
	size_t len = 1 + ((*s & 0xc0) == 0xc0) + ((*s & 0xe0) == 0xe0) + ((*s & 0xf0) == 0xf0);
	char safe[32];

	log_safe(safe, sizeof(safe), s, strnlen(s, len));
	if (*safe != '\\') {
		fputs(safe, out);
		return strlen(safe);
	}
	if (*s == '"' || *s == '\\')
		fprintf(out, "\\%c", *s);
	else
		fprintf(out, (*s & 0x80) == 0 ? "\\u%04x" : "\\\\x%02x", (unsigned char)*s);
	return 1;
}

static void json_text(FILE *out, const char *key, const char *s)
{
	fprintf(out, "\"%s\":\"", key);
	while (*s != '\0')
		s += json_char(out, s);
	fputs("\",", out);
}

/* Messages are safe already: escaping them twice would show the escapes. */
static void json_message(FILE *out, const char *key, const char *s)
{
	fprintf(out, "\"%s\":", key);
	if (*s == '\0') {
		fputs("null,", out);
		return;
	}
	fputc('"', out);
	for (; *s != '\0'; s++)
		fprintf(out, *s == '\\' || *s == '"' ? "\\%c" : "%c", *s);
	fputs("\",", out);
}

/* The file itself, where a directory was given. */
static void json_local(FILE *out, const struct client_job *job)
{
	char path[PATH_MAX];
	bool found = !job->write && strcmp(job->local, "-") != 0 && local_path(job->local, job->remote, path) == 0;

	json_text(out, "local", found ? path : job->local);
}

static void json(FILE *out, const struct client_job *job)
{
	const struct client_outcome *o = &job->out;
	double seconds = (double)o->took / MONO_SEC;

	fputc('{', out);
	json_text(out, "operation", job->write ? "put" : "get");
	json_text(out, "host", job->host);
	json_text(out, "peer", o->peer);
	json_text(out, "remote", job->remote);
	json_local(out, job);
	json_text(out, "mode", job->text ? "netascii" : "octet");
	fprintf(out, "\"status\":%d,", (int)o->status);
	json_message(out, "error", o->message);
	json_message(out, "note", o->note);
	fprintf(out, "\"bytes\":%llu,\"seconds\":%.6f,\"rate\":%.0f,\"resent\":%llu,\"rtt\":%.6f,",
	    (unsigned long long)o->bytes,
	    seconds, seconds > 0 ? (double)o->bytes / seconds : 0, (unsigned long long)o->resent,
	    (double)o->rtt / MONO_SEC);
	fprintf(out, "\"blksize\":%u,\"windowsize\":%u", o->terms.blksize, o->terms.windowsize);
	if (o->terms.tsize != TSIZE_UNKNOWN && o->terms.blksize != 0)
		fprintf(out, ",\"tsize\":%llu", (unsigned long long)o->terms.tsize);
	fputs("}\n", out);
	fflush(out);
}

/* Sentences. */

static void summary(const struct client_job *job)
{
	const struct client_outcome *o = &job->out;
	double seconds = (double)o->took / MONO_SEC;
	char safe[160], rate[16];

	progress_bytes(rate, seconds > 0 ? (double)o->bytes / seconds : 0);
	fprintf(stderr, "tftp: %s \"%s\" %s %s: %llu bytes in %.3f s (%s/s), blksize %u, windowsize %u%s, rtt %.2f ms, "
	    "%llu resent\n", job->write ? "sent" : "received", log_safe(safe, sizeof(safe), job->remote,
	    strlen(job->remote)),
	    job->write ? "to" : "from", o->peer, (unsigned long long)o->bytes, seconds, rate, o->terms.blksize,
	    o->terms.windowsize, o->plain ? ", no options" : "", (double)o->rtt / MONO_MS, (unsigned long long)o->resent);
}

static void done(void *arg, const struct client_job *job)
{
	struct report *r = arg;

	progress_clear(&r->progress);
	if (r->args->json)
		json(r->json, job);
	/* Where the objects go to standard error nothing else does: somebody reads them. */
	if (job->out.status == CLIENT_INTERRUPTED || (r->args->json && r->json == stderr))
		return;
	if (job->out.status != CLIENT_OK)
		fprintf(stderr, "tftp: %s\n", job->out.message);
	else if (r->args->verbose && !r->args->quiet)
		summary(job);
	if (job->out.status == CLIENT_OK && job->out.note[0] != '\0' && !r->args->quiet)
		fprintf(stderr, "tftp: %s\n", job->out.note);
}

static void tick(void *arg, const struct client_state *state)
{
	struct report *r = arg;

	progress_draw(&r->progress, state);
}

static void packet(void *arg, bool sent, const struct addr *peer, const uint8_t *buf, size_t len)
{
	char line[1024];

	(void)arg;
	fprintf(stderr, "%s\n", trace_packet(line, sizeof(line), sent, peer, buf, len));
}

static void stranger(void *arg, const struct addr *from, const uint8_t *buf, size_t len)
{
	char line[1024], text[ADDR_TEXT];

	(void)arg;
	fprintf(stderr, "%s (%s is not the peer)\n", trace_packet(line, sizeof(line), false, from, buf, len),
	    addr_print(from, text));
}

/* Setting up. */

static bool writes_to_stdout(const struct client_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (client_writes_stdout(&jobs[i]))
			return true;
	return false;
}

/* Somebody reads the file itself there, or types it: a line that is drawn over another would spoil it. */
static bool is_on_terminal(const struct client_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(jobs[i].local, "-") == 0 && isatty(jobs[i].write ? STDIN_FILENO : STDOUT_FILENO))
			return true;
	return false;
}

void report_update(struct report *r, const struct client_job *jobs, size_t n)
{
	const struct args *a = r->args;
	const char *terminal = getenv("TERM");
	bool capable = isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0);
	bool bar = a->progress >= 0 ? a->progress : capable && !is_on_terminal(jobs, n);

	r->json = writes_to_stdout(jobs, n) ? stderr : stdout;
	progress_init(&r->progress, STDERR_FILENO);
	r->view = (struct client_view){
		.tick = bar && !a->quiet && !a->options.trace ? tick : NULL,
		.done = done,
		.packet = a->options.trace ? packet : NULL,
		.stranger = a->options.trace ? stranger : NULL,
		.arg = r,
	};
}

void report_init(struct report *r, const struct args *args)
{
	r->args = args;
	report_update(r, NULL, 0);
}

void report_total(struct report *r, const struct client_job *jobs, size_t n, bool interrupted)
{
	size_t failed = 0, done_well = 0;

	progress_clear(&r->progress);
	if (r->args->json && r->json == stderr)
		return;
	for (size_t i = 0; i < n; i++) {
		failed += jobs[i].out.decided && jobs[i].out.status != CLIENT_OK;
		done_well += jobs[i].out.decided && jobs[i].out.status == CLIENT_OK;
	}
	if (interrupted && n > 1)
		fprintf(stderr, "tftp: interrupted, %zu of %zu files are complete\n", done_well, n);
	else if (interrupted)
		fprintf(stderr, "tftp: %s\n", n == 1 && jobs[0].out.message[0] != '\0' ? jobs[0].out.message : "interrupted");
	else if (n > 1 && failed > 0)
		fprintf(stderr, "tftp: %zu of %zu files failed\n", failed, n);
	else if (n > 1 && r->args->verbose && !r->args->quiet)
		fprintf(stderr, "tftp: %zu files\n", n);
}
