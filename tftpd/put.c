/* PUT: a client writes a file. What may block at its end, the disk, is waited for in another thread. */
#include "request.h"

#include "store_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define UPLOAD_MEMORY (2ull * STORE_IN_PLACE_MAX)

/* Before the first byte. */

/*
 * Whether the upload may begin. A file that says how long it will be, and cannot fit, is refused before its first byte
 * (RFC 2349). Returns the ERROR code and the words, or 0.
 */
static uint16_t too_large(const struct request *r, const struct path_target *t, const struct option_set *asked,
    const char **text)
{
	const struct config *c = r->server->config;
	bool sized = (asked->present & OPTION_BIT(OPTION_TSIZE)) != 0;
	uint64_t size = sized ? asked->value[OPTION_TSIZE] : 0, room;
	struct statvfs fs;

	/* In netascii it is the size on the wire, where what is one byte here may have been two. */
	if (r->text)
		size /= 2;
	*text = "the file is larger than allowed here";
	if (size > c->max_upload || (t->in_place && size > STORE_IN_PLACE_MAX))
		return ERROR_DISK_FULL;
	*text = "another file of this name exists and is not replaced";
	if (sized && !r->text && t->exists && c->on_exists == CONFIG_EXISTS_SAME && size != (uint64_t)t->st.st_size)
		return ERROR_EXISTS;
	*text = "not enough room for a file of this size";
	if (fstatvfs(t->dir, &fs) != 0)
		return 0;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* Written over, the old file makes room for the new one. */
	if (t->in_place)
		room += (uint64_t)t->st.st_blocks * 512;
	return size > room || (c->min_free > 0 && room - size < c->min_free) ? ERROR_DISK_FULL : 0;
}

static struct store_upload upload_how(const struct request *r, const struct path_target *t)
{
	static const enum store_exists exists[] = {
		[CONFIG_EXISTS_OVERWRITE] = STORE_EXISTS_REPLACE,
		[CONFIG_EXISTS_REFUSE] = STORE_EXISTS_REFUSE,
		[CONFIG_EXISTS_VERSION] = STORE_EXISTS_VERSION,
		[CONFIG_EXISTS_SAME] = STORE_EXISTS_SAME,
	};
	struct server *s = r->server;
	const struct config *c = s->config;

	return (struct store_upload){
		.mode = 0666,
		.text = r->text,
		.sync = !c->no_sync,
		.keep_partial = c->keep_partial,
		.in_place = t->in_place,
		.memory = t->in_place ? &s->upload_memory : NULL,
		.limit = c->max_upload,
		.min_free = c->min_free,
		.exists = exists[c->on_exists],
		.keep = c->keep,
		.offload = s->has_worker ? &s->offload : NULL,
		.behind = &s->behind,
	};
}

static void receive(const struct request *r, struct job *job, const struct store *store, const struct option_set *asked)
{
	struct server *s = r->server;
	struct option_limits limits = {
		.blksize = server_blksize(s, r->datagram, r->now),
		.windowsize = s->config->windowsize_max,
		.window_bytes = s->config->window_bytes,
		.refuse = s->config->refuse,
	};
	struct option_terms terms;
	int err;

	options_accept(asked, true, &limits, TSIZE_UNKNOWN, &job->granted, &terms);
	transfer_serve_put(&job->session.transfer, store, &s->exchange.gather, &job->granted, &terms, &s->policy, r->now);
	err = job_start(job, r->listener, r->datagram, r->now);
	if (err != 0)
		request_refuse_start(r, err);
}

static void open_sink(const struct request *r, const struct path_target *t)
{
	struct store_upload how = upload_how(r, t);
	struct option_set asked;
	struct store store;
	const char *text;
	struct job *job;
	uint16_t code;
	int err;

	options_parse(&asked, r->packet);
	code = too_large(r, t, &asked, &text);
	if (code != 0) {
		request_refuse(r, code, text, NULL);
		return;
	}
	/* The old file could not be kept where no name can be made. */
	err = t->in_place && how.exists == STORE_EXISTS_VERSION ? -EACCES : 0;
	job = err != 0 ? NULL : job_new(r->server, r->packet->name, true, r->text);
	if (err == 0)
		err = job == NULL ? -ENOMEM : store_file_upload(&job->file, &store, t->dir, t->base, &how);
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
	const struct server *s = r->server;
	struct names_ask ask = {
		.name = r->packet->name,
		.peer = &r->datagram->from,
		.write = true,
		.note = s->config->verbosity >= 3 ? request_note : NULL,
		.arg = (void *)r,
	};
	struct names_found found;
	int err = names_find(&s->names, &ask, &found);

	if (err != 0) {
		request_refuse_name(r, err, &found);
		return;
	}
	request_log_name(r, &found);
	open_sink(r, &found.target);
	close(found.target.dir);
}

/* After the last byte. */

struct commit_work {
	struct work work;
	struct store_commit *commit;
};

static void commit_run(struct work *w)
{
	store_commit_run(((struct commit_work *)w)->commit);
}

static void commit_done(struct work *w, mono_t now)
{
	struct store_commit *c = ((struct commit_work *)w)->commit;
	struct job *j;

	free(w);
	c->done = true;
	if (c->file == NULL) {
		store_commit_free(c);
		return;
	}
	j = (struct job *)((char *)c->file - offsetof(struct job, file));
	transfer_wake(&j->session.transfer, now);
	session_pump(&j->session, now);
}

static int submit(struct store_offload *o, struct store_commit *c)
{
	struct server *s = (struct server *)((char *)o - offsetof(struct server, offload));
	struct commit_work *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->work.run = commit_run;
	w->work.done = commit_done;
	w->commit = c;
	worker_submit(&s->worker, &w->work);
	return 0;
}

struct writeback_work {
	struct work work;
	struct server *server;
	int fd;
	uint64_t off, len;
};

/* A disk that has too much to do lets this wait too. */
static void writeback_run(struct work *w)
{
	const struct writeback_work *wb = (struct writeback_work *)w;

	sync_file_range(wb->fd, (off_t)wb->off, (off_t)wb->len, SYNC_FILE_RANGE_WRITE);
	close(wb->fd);
}

static void writeback_done(struct work *w, mono_t now)
{
	(void)now;
	((struct writeback_work *)w)->server->writebacks--;
	free(w);
}

static int writeback(struct store_offload *o, int fd, uint64_t off, uint64_t len)
{
	struct server *s = (struct server *)((char *)o - offsetof(struct server, offload));
	struct writeback_work *w;

	/* Two at once are in each other's way, and in that of what is written meanwhile. */
	if (s->writebacks > 0)
		return -EBUSY;
	w = malloc(sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	*w = (struct writeback_work){
		.work = {.run = writeback_run, .done = writeback_done},
		.server = s,
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
		.off = off,
		.len = len,
	};
	if (w->fd < 0) {
		free(w);
		return -EMFILE;
	}
	s->writebacks++;
	worker_submit(&s->worker, &w->work);
	return 0;
}

/* What was left behind. */

struct sweep_work {
	struct work work;
	struct server *server;
	int dir;
	unsigned removed;
};

static void sweep_run(struct work *w)
{
	struct sweep_work *sweep = (struct sweep_work *)w;

	sweep->removed = store_temp_sweep(sweep->dir, &sweep->server->ending);
}

static void sweep_done(struct work *w, mono_t now)
{
	struct sweep_work *sweep = (struct sweep_work *)w;

	(void)now;
	if (sweep->removed > 0)
		log_line(&sweep->server->log, LOG_LEVEL_NOTICE, "removed %u uploads that were left unfinished", sweep->removed);
	free(sweep);
}

static void sweep(struct server *s, const struct path_root *root)
{
	struct sweep_work *w;
	int dir = path_open_dir(root, "");

	w = dir < 0 ? NULL : calloc(1, sizeof(*w));
	if (w == NULL) {
		if (dir >= 0)
			close(dir);
		return;
	}
	w->work.run = sweep_run;
	w->work.done = sweep_done;
	w->server = s;
	w->dir = dir;
	worker_submit(&s->worker, &w->work);
}

int put_start(struct server *s)
{
	const struct config *c = s->config;
	int err;

	if (!config_uploads(c))
		return 0;
	s->upload_memory = UPLOAD_MEMORY;
	err = worker_init(&s->worker, &s->loop);
	if (err != 0)
		return err;
	s->has_worker = true;
	s->offload.submit = submit;
	s->offload.writeback = writeback;
	/* The whole machine, where tftp-hpa's flags serve it, is not ours to search. */
	for (int i = 0; i < s->names.nroots; i++)
		if (strcmp(s->names.roots[i].label, "/") != 0 || c->secure)
			sweep(s, &s->names.roots[i].base);
	return 0;
}

void put_stop(struct server *s)
{
	__atomic_store_n(&s->ending, true, __ATOMIC_RELAXED);
	if (s->has_worker)
		worker_free(&s->worker);
	s->has_worker = false;
}
