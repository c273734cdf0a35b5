/* Examine a server: ask it a few things, and say in words what is wrong, why that may be, and what to do. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "args.h"
#include "client.h"

/* What monitoring systems expect of a check. */
enum doctor_status { DOCTOR_WELL = 0, DOCTOR_LIMITED = 1, DOCTOR_BROKEN = 2 };

/*
 * `host` may have a port; `file` (NULL: none) is one that the server should have. Prints to standard output. Returns a
 * doctor_status, or CLIENT_HOST, CLIENT_USAGE, CLIENT_INTERRUPTED.
 */
int doctor_run(const struct args *args, const char *host, const char *file);

#endif
