/* Access lists from files. All of them are read before any of them counts, so that there is never a half of them. */
#include "lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static int cannot_read(const char *path, int err, char error[CONFIG_ERROR_MAX])
{
	snprintf(error, CONFIG_ERROR_MAX, "cannot read the list in \"%.128s\": %s", path, strerror(-err));
	return EX_NOINPUT;
}

static int read_list(const struct conffile *f, enum access_list list, struct access *a, char error[CONFIG_ERROR_MAX])
{
	char why[ACCESS_ERROR_MAX], *text;
	size_t len;
	int err = conffile_read(f, &text, &len);

	if (err != 0)
		return cannot_read(f->path, err, error);
	err = access_add_text(a, list, f->path, text, len, why);
	free(text);
	if (err == 0)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "%.200s: %s", f->path, err == -ENOMEM ? strerror(ENOMEM) : why);
	return EX_CONFIG;
}

int lists_reload(struct lists *l, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = l->config;
	struct access fresh;
	int status = 0;

	error[0] = '\0';
	if (access_copy(&fresh, &c->access) != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot read the lists: %s", strerror(ENOMEM));
		return EX_OSERR;
	}
	for (int i = 0; status == 0 && i < c->nlist_files; i++)
		status = read_list(&l->files[i], c->list_files[i].list, &fresh, error);
	if (status != 0) {
		access_free(&fresh);
		return status;
	}
	access_free(&l->access);
	l->access = fresh;
	return 0;
}

int lists_open(struct lists *l, const struct config *c, char error[CONFIG_ERROR_MAX])
{
	memset(l, 0, sizeof(*l));
	l->config = c;
	for (int i = 0; i < c->nlist_files; i++) {
		int err = conffile_open(&l->files[i], c->list_files[i].path);

		if (err != 0)
			return cannot_read(c->list_files[i].path, err, error);
	}
	return lists_reload(l, error);
}

void lists_close(struct lists *l)
{
	for (int i = 0; i < CONFIG_LIST_FILES; i++)
		conffile_close(&l->files[i]);
	access_free(&l->access);
}
