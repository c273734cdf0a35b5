/* PUT: a client writes a file. */
#include "request.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A file that says how long it will be, and cannot fit, is refused before its first byte (RFC 2349). */
static bool fits(int dir, const struct option_set *asked)
{
	struct statvfs fs;

	if (!(asked->present & OPTION_BIT(OPTION_TSIZE)) || fstatvfs(dir, &fs) != 0)
		return true;
	return asked->value[OPTION_TSIZE] <= (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void receive(const struct request *r, struct job *job, const struct store *store, const struct option_set *asked)
{
	struct server *s = r->server;
	struct option_limits limits = {
		.blksize = server_blksize(s, r->datagram, r->now),
		.windowsize = s->config->windowsize_max,
		.window_bytes = s->config->window_bytes,
	};
	struct option_terms terms;
	int err;

	options_accept(asked, true, &limits, TSIZE_UNKNOWN, &job->granted, &terms);
	transfer_serve_put(&job->session.transfer, store, &s->exchange.gather, &job->granted, &terms, &s->policy, r->now);
	err = job_start(job, r->listener, r->datagram, r->now);
	if (err != 0)
		request_refuse_open(r, err);
}

static void open_sink(const struct request *r, int dir, const char *base)
{
	struct option_set asked;
	struct store store;
	struct job *job;
	int err;

	options_parse(&asked, r->packet);
	if (!fits(dir, &asked)) {
		request_refuse(r, ERROR_DISK_FULL, "not enough room for a file of this size", NULL);
		return;
	}
	job = job_new(r->server, r->packet->name, true, r->text);
	err = job == NULL ? -ENOMEM :
	    store_file_sink(&job->file, &store, dir, base, 0666, r->text, UINT64_MAX, r->server->config->sync);
	if (err == 0) {
		receive(r, job, &store, &asked);
		return;
	}
	if (job != NULL)
		job_drop(job);
	request_refuse_open(r, err);
}

void put_begin(const struct request *r)
{
	char base[NAME_MAX + 1];
	bool exists;
	int dir, err;

	if (!r->server->config->create) {
		request_refuse(r, ERROR_ACCESS, "uploads are off on this server", "started without --create");
		return;
	}
	err = path_open_parent(&r->server->root, r->packet->name, &dir, base, &exists);
	if (err != 0) {
		request_refuse_open(r, err);
		return;
	}
	open_sink(r, dir, base);
	close(dir);
}
