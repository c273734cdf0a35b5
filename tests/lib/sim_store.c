/* See sim_store.h. The bytes of a source do not repeat, so that a block in the wrong place shows. */
#include "sim_store.h"

#include <stdlib.h>
#include <string.h>

static void broke(struct sim_store *s, const char *rule)
{
	if (!s->broken)
		s->broken = rule;
}

static ssize_t store_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct sim_store *s = arg;
	uint64_t asked = 0, at = off;

	s->reads++;
	if (s->sink)
		broke(s, "a sink was read");
	if (s->closes)
		broke(s, "read after close");
	if (n < 1)
		broke(s, "read of no vectors");
	for (int i = 0; i < n; i++)
		asked += iov[i].iov_len;
	if (!s->seekable && off + s->keep < s->given)
		broke(s, "a forward-only source was asked for what lies before the window");
	if (!s->seekable && off > s->given)
		broke(s, "a forward-only source was asked for what lies ahead");
	if (s->read_error)
		return s->read_error;
	if (s->visible < s->len && off + asked > s->visible) {
		s->wants_wake = true;
		return STORE_AGAIN;
	}
	for (int i = 0; i < n && at < s->len; i++) {
		size_t take = iov[i].iov_len;

		if (take > s->len - at)
			take = (size_t)(s->len - at);
		memcpy(iov[i].iov_base, s->bytes + at, take);
		at += take;
	}
	if (at > s->given)
		s->given = at;
	return at > off ? (ssize_t)(at - off) : 0;
}

static int store_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct sim_store *s = arg;

	s->writes++;
	if (!s->sink)
		broke(s, "a source was written");
	if (s->closes)
		broke(s, "write after close");
	if (s->finished)
		broke(s, "write after finish");
	if (n < 1)
		broke(s, "write of no vectors");
	if (!s->seekable && off != s->next)
		broke(s, "a forward-only sink was written out of order");
	if (s->write_error)
		return s->write_error;
	for (int i = 0; i < n; i++) {
		size_t len = iov[i].iov_len;

		if (off > s->cap || len > s->cap - off) {
			broke(s, "written past the end of the file");
			return 0;
		}
		memcpy(s->bytes + off, iov[i].iov_base, len);
		off += len;
		s->written += len;
	}
	if (off > s->len)
		s->len = (size_t)off;
	s->next = off;
	return 0;
}

static int store_finish(void *arg)
{
	struct sim_store *s = arg;

	s->finishes++;
	if (!s->sink)
		broke(s, "a source was finished");
	if (s->closes)
		broke(s, "finish after close");
	if (s->finished)
		broke(s, "finished twice");
	if (s->finish_error)
		return s->finish_error;
	if (s->finish_again) {
		s->finish_again--;
		s->wants_wake = true;
		return STORE_AGAIN;
	}
	s->finished = true;
	return 0;
}

static void store_close(void *arg)
{
	struct sim_store *s = arg;

	if (s->closes++)
		broke(s, "closed twice");
}

static const struct store_ops source_ops = {
	.read = store_read,
	.close = store_close,
};

static const struct store_ops sink_ops = {
	.write = store_write,
	.finish = store_finish,
	.close = store_close,
};

static void init(struct sim_store *s, struct store *store, size_t cap, bool seekable, bool sink)
{
	*s = (struct sim_store){.cap = cap, .seekable = seekable, .sink = sink};
	s->bytes = calloc(1, cap ? cap : 1);
	if (!s->bytes)
		abort();
	*store = (struct store){.ops = sink ? &sink_ops : &source_ops, .arg = s, .seekable = seekable};
}

void sim_store_source(struct sim_store *s, struct store *store, size_t len, uint64_t seed, bool seekable)
{
	uint64_t x = seed * 2 + 1;

	init(s, store, len, seekable, false);
	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		s->bytes[i] = (uint8_t)(x >> 56);
	}
	s->len = len;
	s->visible = len;
	s->keep = UINT64_MAX / 2;
}

void sim_store_sink(struct sim_store *s, struct store *store, size_t cap, bool seekable)
{
	init(s, store, cap, seekable, true);
}

void sim_store_free(struct sim_store *s)
{
	free(s->bytes);
	s->bytes = NULL;
}

bool sim_store_same(const struct sim_store *a, const struct sim_store *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}
