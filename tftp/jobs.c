/* Jobs and the strings they point at. */
#include "jobs.h"

#include "local.h"

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

void jobs_free(struct jobs *j)
{
	for (size_t i = 0; i < j->nstrings; i++)
		free(j->strings[i]);
	free(j->strings);
	free(j->list);
	*j = (struct jobs){.n = 0};
}
