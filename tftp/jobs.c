/* Jobs and the strings they point at. */
#include "jobs.h"

#include "local.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *keep(struct jobs *j, const char *s, bool *full)
{
	char **more;

	if (s == NULL || *full)
		return NULL;
	more = realloc(j->strings, (j->nstrings + 1) * sizeof(*more));
	if (more != NULL)
		j->strings = more;
	s = more != NULL ? strdup(s) : NULL;
	if (s == NULL)
		*full = true;
	else
		j->strings[j->nstrings++] = (char *)s;
	return s;
}

/* Its names, where others look for messages: two ways to write to one file would come to a mixture. */
static bool is_stdout(const char *local)
{
	return strcmp(local, "/dev/stdout") == 0 || strcmp(local, "/dev/fd/1") == 0;
}

int jobs_add(struct jobs *j, bool write, bool text, const char *host, const char *port, const char *remote,
    const char *local)
{
	struct client_job *more = realloc(j->list, (j->n + 1) * sizeof(*more));
	bool full = more == NULL;

	if (full)
		return -1;
	j->list = more;
	if (local == NULL)
		local = ".";
	else if (!write && is_stdout(local))
		local = "-";
	j->list[j->n] = (struct client_job){
		.write = write,
		.text = text,
		.host = keep(j, host, &full),
		.port = keep(j, port, &full),
		.remote = keep(j, remote, &full),
		.local = keep(j, local, &full),
	};
	j->n += !full;
	return full ? -1 : 0;
}

int jobs_get(struct jobs *j, bool text, const struct uri *remote, const char *local)
{
	return jobs_add(j, false, remote->mode_given ? remote->text : text, remote->host, remote->port, remote->path,
	    local);
}

int jobs_put(struct jobs *j, bool text, const char *local, const struct uri *remote, bool many)
{
	size_t len = strlen(remote->path);
	bool dir = many || len == 0 || remote->path[len - 1] == '/';
	bool slash = many && len > 0 && remote->path[len - 1] != '/';
	char *name = NULL;
	int err;

	if (dir && asprintf(&name, "%s%s%s", remote->path, slash ? "/" : "", local_tail(local)) < 0)
		return -1;
	err = jobs_add(j, true, remote->mode_given ? remote->text : text, remote->host, remote->port,
	    dir ? name : remote->path, local);
	free(name);
	return err;
}

static int compare(const char *a, const char *b)
{
	return a == NULL || b == NULL ? (a != NULL) - (b != NULL) : strcmp(a, b);
}

static int by_host(const struct client_job *a, const struct client_job *b)
{
	int order = compare(a->host, b->host);

	return order != 0 ? order : compare(a->port, b->port);
}

/* By where they go to. 0: both would go to one place. */
static int by_place(const struct client_job *a, const struct client_job *b)
{
	int order = a->write - b->write;

	if (order == 0)
		order = a->write ? by_host(a, b) : compare(a->local, b->local);
	if (order == 0)
		order = a->write ? compare(a->remote, b->remote) : compare(local_tail(a->remote), local_tail(b->remote));
	return order;
}

/* For qsort(). What goes to one place stays in the order in which it was given. */
static int sorting(const void *first, const void *second)
{
	const struct client_job *a = *(const struct client_job *const *)first;
	const struct client_job *b = *(const struct client_job *const *)second;
	int order = by_place(a, b);

	return order != 0 ? order : (a > b) - (a < b);
}

static bool same_file(const struct client_job *a, const struct client_job *b)
{
	return a->text == b->text && by_host(a, b) == 0 && strcmp(a->remote, b->remote) == 0 &&
	    strcmp(a->local, b->local) == 0;
}

static bool replaces(const struct client_job *a, const struct client_job *b)
{
	return by_place(a, b) == 0 && !same_file(a, b) && (a->write || strcmp(a->local, "-") != 0);
}

/* host:path, or the local name: how it was given, more or less. */
static void source(const struct client_job *job, char out[100])
{
	char name[1024];

	if (job->write)
		snprintf(name, sizeof(name), "%s", job->local);
	else
		snprintf(name, sizeof(name), "%s%s%s:%s", job->host, job->port != NULL ? ":" : "",
		    job->port != NULL ? job->port : "", job->remote);
	log_safe(out, 100, name, strlen(name));
}

int jobs_check(const struct jobs *j, char *why, size_t cap)
{
	const struct client_job **sorted = calloc(j->n + 1, sizeof(*sorted));
	char a[100], b[100];
	int err = 0;

	if (sorted == NULL) {
		snprintf(why, cap, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < j->n; i++)
		sorted[i] = &j->list[i];
	qsort(sorted, j->n, sizeof(*sorted), sorting);
	for (size_t i = 1; i < j->n && err == 0; i++)
		if (replaces(sorted[i - 1], sorted[i])) {
			source(sorted[i - 1], a);
			source(sorted[i], b);
			snprintf(why, cap, "\"%s\" and \"%s\" would replace each other; use two directories", a, b);
			err = -1;
		}
	free(sorted);
	return err;
}

void jobs_free(struct jobs *j)
{
	for (size_t i = 0; i < j->nstrings; i++)
		free(j->strings[i]);
	free(j->strings);
	free(j->list);
	*j = (struct jobs){.n = 0};
}
