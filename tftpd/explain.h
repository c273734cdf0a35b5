/*
 * What the server would do, for the administrator who asks: --explain, --check and --map-test. Nothing is sent, nothing
 * is made, no port is opened.
 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "lists.h"
#include "names.h"

#include <stdio.h>

/*
 * Each prints to `out` and returns the exit status: explain 0 if the request would be granted, 1 if not; map_test
 * 0 or EX_NOINPUT; check 0, or EX_CONFIG where something is amiss. `error` is for what keeps them from answering at
 * all. `user` is who would serve, "" whoever asks; `log` where it would log, found and not opened;
 * `note` is listen_check's.
 */
int explain_request(const struct names *n, const struct lists *l, FILE *out, char error[CONFIG_ERROR_MAX]);
int explain_map_test(const struct names *n, FILE *out, char error[CONFIG_ERROR_MAX]);
int explain_check(const struct names *n, const struct lists *l, const struct log *log, const char *user,
    const char *note, FILE *out);

#endif
