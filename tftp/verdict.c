/* Words for a person, and an exit status, for however a transfer ended: host, file, what happened, what to try. */
#include "client_int.h"
#include "log.h"
#include "route.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct printable printable(const char *name)
{
	struct printable p;

	log_safe(p.text, sizeof(p.text), name, strlen(name));
	return p;
}

void verdict_say(struct client_outcome *out, enum client_status status, const char *fmt, ...)
{
	va_list ap;

	out->status = status;
	va_start(ap, fmt);
	vsnprintf(out->message, sizeof(out->message), fmt, ap);
	va_end(ap);
}

static const struct {
	enum client_status status;
	const char *hint;
} of_code[] = {
	[ERROR_UNDEFINED] = {CLIENT_PEER, "; its log may say more"},
	[ERROR_NOT_FOUND] = {CLIENT_NOT_FOUND, "; check the name, upper and lower case and slashes count"},
	[ERROR_ACCESS] = {CLIENT_ACCESS, "; the server's configuration or the file's permissions forbid it"},
	[ERROR_DISK_FULL] = {CLIENT_DISK_FULL, "; make room on the server"},
	[ERROR_ILLEGAL] = {CLIENT_ILLEGAL, "; try --no-options, its log may say more"},
	[ERROR_UNKNOWN_TID] = {CLIENT_UNKNOWN_TID, "; try again"},
	[ERROR_EXISTS] = {CLIENT_EXISTS, "; use another name, or remove it on the server"},
	[ERROR_NO_USER] = {CLIENT_NO_USER, "; ask whoever runs the server"},
	[ERROR_OPTION] = {CLIENT_ILLEGAL, "; try --no-options"},
};

static void peer_error(struct task *t, const struct transfer_result *r)
{
	size_t code = r->code < sizeof(of_code) / sizeof(of_code[0]) ? r->code : ERROR_UNDEFINED;
	const char *hint = of_code[code].hint;

	/* hpa's server takes no new files unless it is told to. */
	if (code == ERROR_NOT_FOUND && t->job->write)
		hint = "; its directory has to exist there, and with some servers the file itself";
	verdict_say(&t->job->out, of_code[code].status, "%s answered for \"%s\": %s (error %u)%s",
	    printable(t->host->name).text, printable(t->job->remote).text, printable(r->text).text, r->code, hint);
}

/* All that is missing to a complete upload are the last acknowledgements, perhaps. */
static bool all_sent(const struct task *t, const struct transfer_result *r)
{
	const struct option_terms *terms = transfer_terms(&t->session.transfer);

	return t->job->write && t->size != UINT64_MAX && transfer_answered(&t->session.transfer) &&
	    t->size - r->bytes <= (uint64_t)terms->blksize * terms->windowsize;
}

void verdict_no_way(struct task *t, int err)
{
	addr_print(&t->host->addrs[t->at], t->job->out.peer);
	verdict_say(&t->job->out, CLIENT_REFUSED, "cannot reach a TFTP server on %s for \"%s\": %s; %s",
	    printable(t->host->name).text, printable(t->job->remote).text, strerror(err),
	    route_hint(&t->host->addrs[t->at], t->client->options->bind.sa.sa_family != AF_UNSPEC, err));
}

static void unreachable(struct task *t, const struct transfer_result *r)
{
	struct printable host = printable(t->host->name), file = printable(t->job->remote);

	if (all_sent(t, r))
		verdict_say(&t->job->out, CLIENT_REFUSED, "%s went away before it acknowledged the end of \"%s\" (%s); it may be "
		    "complete there", host.text, file.text, strerror(r->code));
	else if (transfer_answered(&t->session.transfer))
		verdict_say(&t->job->out, CLIENT_REFUSED, "%s went away after %llu bytes of \"%s\" (%s); try again", host.text,
		    (unsigned long long)r->bytes, file.text, strerror(r->code));
	else
		verdict_no_way(t, r->code);
}

static void timed_out(struct task *t, const struct transfer_result *r)
{
	struct printable host = printable(t->host->name), file = printable(t->job->remote);
	struct client_outcome *out = &t->job->out;
	bool small = transfer_terms(&t->session.transfer)->blksize <= PACKET_BLKSIZE;
	char text[ADDR_TEXT];

	if (t->elsewhere.sa.sa_family != AF_UNSPEC && !transfer_answered(&t->session.transfer))
		verdict_say(out, CLIENT_SILENT, "%s did not answer for \"%s\", but %s did; if that is the same server, use "
		    "--relaxed-peer", host.text, file.text, addr_host(&t->elsewhere, text));
	else if (all_sent(t, r) && r->bytes > 0)
		verdict_say(out, CLIENT_SILENT, "%s fell silent before it acknowledged the end of \"%s\"; it may be complete there",
		    host.text, file.text);
	else if (r->bytes > 0)
		verdict_say(out, CLIENT_SILENT, "%s fell silent after %llu bytes of \"%s\"; try again", host.text,
		    (unsigned long long)r->bytes, file.text);
	else if (transfer_answered(&t->session.transfer))
		verdict_say(out, CLIENT_SILENT, "%s answered for \"%s\" and fell silent; %s%s%s", host.text, file.text,
		    small ? "does a firewall drop what is sent to the new port that it answers from? (tftp doctor " :
		    "try --blksize 512", small ? host.text : "", small ? ")" : "");
	else
		verdict_say(out, CLIENT_SILENT,
		    "no answer from %s for \"%s\"; is a TFTP server running there, and does a firewall "
		    "let its replies through? (tftp doctor %s)", host.text, file.text, host.text);
}

/* What a person can do about it. */
static const char *local_hint(const struct client_job *job, int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return "; make room here";
	case EACCES:
	case EPERM:
	case EROFS:
		return job->write ? "; its permissions forbid it" : "; choose another place, or change the permissions";
	case ENOENT:
		return job->write ? "; check the name" : "; make the directory first";
	case ENAMETOOLONG:
		return "; choose a shorter name";
	case EISDIR:
		return job->write ? "; name a file" : "; name a file in it";
	case EPIPE:
		return "; whoever reads it has gone";
	case -STORE_TOO_BIG:
		return "; choose another place";
	case EMFILE:
	case ENFILE:
		return "; try a smaller --parallel";
	default:
		return job->write ? "; try another file" : "; try another place";
	}
}

void verdict_local(struct task *t, int err)
{
	const struct client_job *job = t->job;
	const char *stream = job->write ? "standard input" : "standard output";
	struct printable local = printable(job->local);
	bool standard = strcmp(job->local, "-") == 0;
	const char *why = err == STORE_TOO_BIG ? "it is too large for a file that can only be written over" : strerror(-err);

	verdict_say(&t->job->out, job->write ? CLIENT_READ : CLIENT_WRITE, "cannot %s %s%s%s for \"%s\" %s %s: %s%s",
	    job->write ? "read" : "write", standard ? "" : "\"", standard ? stream : local.text, standard ? "" : "\"",
	    printable(job->remote).text, job->write ? "on" : "from", printable(t->host->name).text, why,
	    local_hint(job, -err));
}

void verdict_early(struct task *t, const char *why)
{
	struct printable file = printable(t->job->remote), host = printable(t->job->host);

	if (t->client->interrupted != 0)
		verdict_say(&t->job->out, CLIENT_INTERRUPTED, "interrupted before %s was asked for \"%s\", %s; run it again",
		    host.text, file.text, why);
	else
		verdict_say(&t->job->out, CLIENT_SILENT, "%s was not asked for \"%s\" within %u seconds (--max-time): %s; "
		    "allow it more", host.text, file.text, t->client->options->max_time, why);
}

static void failed(struct task *t, const struct transfer_result *r)
{
	struct client_outcome *out = &t->job->out;
	struct printable host = printable(t->host->name), file = printable(t->job->remote);

	if (t->out_of_time)
		verdict_say(out, CLIENT_SILENT, "%s: \"%s\" was not complete after %u seconds (--max-time), %llu bytes were; "
		    "allow it more",
		    host.text, file.text, t->client->options->max_time, (unsigned long long)r->bytes);
	else if (t->black_hole)
		verdict_say(out, CLIENT_SILENT,
		    "%s answered for \"%s\", but no block of %u bytes comes through; is the MTU wrong on "
		    "the way? Try --blksize 512", host.text, file.text, transfer_terms(&t->session.transfer)->blksize);
	else if (r->store_error == STORE_SHRUNK)
		verdict_say(out, CLIENT_READ, "\"%s\" became shorter while it was being sent; nothing complete is on %s; try again",
		    printable(t->job->local).text, host.text);
	else if (r->store_error != 0)
		verdict_local(t, r->store_error);
	else
		verdict_say(out, CLIENT_ILLEGAL, "gave up on \"%s\" from %s: %s; try --no-options", file.text, host.text,
		    r->text);
}

static void interrupted(struct task *t, const struct transfer_result *r)
{
	const struct client_job *job = t->job;

	verdict_say(&t->job->out, CLIENT_INTERRUPTED, "interrupted after %llu bytes of \"%s\" %s %s, %s; run it again",
	    (unsigned long long)r->bytes, printable(job->remote).text, job->write ? "to" : "from",
	    printable(t->host->name).text, job->write ? transfer_proved(&t->session.transfer) ? "which it was told" :
	    "which has not answered" : t->stream ? "what came was passed on" : "nothing of it is kept");
}

/* A pipe that gives nothing for long: whatever the server said in the end, or did not say, is not what went wrong. */
static bool was_kept_waiting(const struct task *t, const struct transfer_result *r)
{
	return t->input.index != LOOP_UNSET && (r->outcome == TRANSFER_TIMED_OUT || r->outcome == TRANSFER_UNREACHABLE ||
	    (r->outcome == TRANSFER_PEER_ERROR && r->code == ERROR_UNDEFINED));
}

static void kept_waiting(struct task *t, const struct transfer_result *r)
{
	const char *local = t->job->local;
	bool standard = strcmp(local, "-") == 0;

	verdict_say(&t->job->out, CLIENT_SILENT, "%s gave up on \"%s\" after %llu bytes, when %s gave nothing for long; write "
	    "it to a file first", printable(t->host->name).text, printable(t->job->remote).text,
	    (unsigned long long)r->bytes, standard ? "standard input" : printable(local).text);
}

/* The transfer is complete; what does not fit is worth a word. */
static void remark(struct task *t, const struct transfer_result *r)
{
	struct client_outcome *out = &t->job->out;
	struct stat st;

	if (!t->job->write && !t->job->text && out->terms.tsize != TSIZE_UNKNOWN && out->terms.tsize != r->bytes)
		snprintf(out->note, sizeof(out->note), "%s announced %llu bytes for \"%s\" and sent %llu",
		    printable(t->host->name).text, (unsigned long long)out->terms.tsize, printable(t->job->remote).text,
		    (unsigned long long)r->bytes);
	if (t->job->write && t->size != UINT64_MAX && fstat(t->file.fd, &st) == 0 && (uint64_t)st.st_size > t->size)
		snprintf(out->note, sizeof(out->note), "\"%s\" grew while it was being sent: its first %llu bytes were",
		    printable(t->job->local).text, (unsigned long long)t->size);
}

void verdict_judge(struct task *t)
{
	const struct transfer *transfer = &t->session.transfer;
	const struct transfer_result *r = &transfer->result;
	struct client_outcome *out = &t->job->out;

	out->bytes = r->bytes;
	out->resent += r->resent;
	out->took = r->ended - t->began;
	out->rtt = transfer_rtt(transfer);
	out->terms = *transfer_terms(transfer);
	out->plain = t->request.offered.n == 0;
	addr_print(&t->session.peer, out->peer);
	switch (r->outcome) {
	case TRANSFER_DONE:
		out->status = CLIENT_OK;
		out->message[0] = '\0';
		remark(t, r);
		break;
	case TRANSFER_PEER_ERROR:
	case TRANSFER_PROBED:
		peer_error(t, r);
		break;
	case TRANSFER_TIMED_OUT:
		timed_out(t, r);
		break;
	case TRANSFER_UNREACHABLE:
		unreachable(t, r);
		break;
	case TRANSFER_RUNNING:
	case TRANSFER_FAILED:
		failed(t, r);
		break;
	}
	if (was_kept_waiting(t, r))
		kept_waiting(t, r);
	if (t->client->interrupted != 0 && r->outcome != TRANSFER_DONE)
		interrupted(t, r);
}
