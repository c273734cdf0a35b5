/*
 * All that the client prints about transfers: progress, failures, summaries, JSON, traces. One failure is one line.
 */
#ifndef REPORT_H
#define REPORT_H

#include "args.h"
#include "client.h"
#include "progress.h"

struct report {
	const struct args *args;
	struct progress progress;
	struct client_view view;
	FILE *json;
};

/* Set up for these arguments, which must outlive it. */
void report_init(struct report *r, const struct args *args);

/*
 * Before each run: what the view shows follows what the arguments say now, and where a job's data goes to standard
 * output nothing else does.
 */
void report_update(struct report *r, const struct client_job *jobs, size_t n);

/* After a run of several: how many failed. */
void report_total(struct report *r, const struct client_job *jobs, size_t n, bool interrupted);

#endif
