/* GET: a client reads a file. */
#include "request.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * The size to announce. A text's converted size is not known without reading it. An empty file's is left out: curl
 * fails on tsize 0, iPXE stops there and the EFI shell divides by it.
 */
static uint64_t announced(bool text, const struct stat *st)
{
	return text || st->st_size == 0 ? TSIZE_UNKNOWN : (uint64_t)st->st_size;
}

/* An OACK is never much longer than the request that asked for it; without one it is the first block. */
static size_t first_answer(const struct job *job, const struct stat *st)
{
	uint64_t block = job->text || st->st_size > PACKET_BLKSIZE ? PACKET_BLKSIZE : (uint64_t)st->st_size;

	return job->granted.n > 0 ? 0 : PACKET_HEADER + (size_t)block;
}

static int get_find(const struct request *r, struct names_found *found)
{
	const struct server *s = r->server;
	struct names_ask ask = {
		.name = r->packet->name,
		.peer = &r->datagram->from,
		.note = s->config->verbosity >= 3 ? request_note : NULL,
		.arg = (void *)r,
	};

	return names_find(&s->names, &ask, found);
}

void get_begin(const struct request *r)
{
	struct server *s = r->server;
	struct option_limits limits = {
		.blksize = server_blksize(s, r->datagram, r->now),
		.windowsize = s->config->windowsize_max,
		.window_bytes = s->config->window_bytes,
		.refuse = s->config->refuse,
	};
	struct option_set asked;
	struct option_terms terms;
	struct store store;
	struct names_found found;
	struct job *job;
	int fd, err;

	err = get_find(r, &found);
	if (err != 0) {
		request_refuse_name(r, err, &found);
		return;
	}
	request_log_name(r, &found);
	fd = found.fd;
	job = job_new(s, r->packet->name, false, r->text);
	if (job == NULL) {
		close(fd);
		request_refuse_open(r, -ENOMEM);
		return;
	}
	options_parse(&asked, r->packet);
	options_accept(&asked, false, &limits, announced(r->text, &found.st), &job->granted, &terms);
	err = store_file_source(&job->file, &store, fd, (uint64_t)found.st.st_size, r->text,
	    (size_t)terms.blksize * terms.windowsize);
	if (err != 0) {
		job_drop(job);
		request_refuse_open(r, err);
		return;
	}
	store_file_ahead(&job->file, &s->ahead);
	transfer_serve_get(&job->session.transfer, &store, &job->granted, &terms,
	    server_policy(s, r->datagram, first_answer(job, &found.st)), r->now);
	err = job_start(job, r->listener, r->datagram, r->now);
	if (err != 0)
		request_refuse_start(r, err);
}
