/*
 * The access lists in force: those of the command line and of the files that it names (--allow @FILE), which are read
 * again on SIGHUP. What they mean is access.c's.
 */
#ifndef LISTS_H
#define LISTS_H

#include "access.h"
#include "conffile.h"
#include "config.h"

/* Zeroed: everybody may do everything. */
struct lists {
	const struct config *config;
	struct access access;
	struct conffile files[CONFIG_LIST_FILES];  /* as config->list_files */
};

/*
 * Open the files and read them. Returns 0, or a sysexits.h status and in `error` the file, the line and the word that is
 * wrong. Then, or after a failure, lists_close.
 */
int lists_open(struct lists *l, const struct config *c, char error[CONFIG_ERROR_MAX]);
void lists_close(struct lists *l);

/* Read the files again. Returns 0, or a status, the reason in `error`, and all old lists stay. */
int lists_reload(struct lists *l, char error[CONFIG_ERROR_MAX]);

#endif
