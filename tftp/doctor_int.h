/* What doctor.c and doctor_speed.c share; nobody else includes it. */
#ifndef DOCTOR_INT_H
#define DOCTOR_INT_H

#include "doctor.h"
#include "probe.h"

struct doctor {
	const struct args *args;
	const char *host;
	char host_text[128], file_text[128];
	char name[64];             /* of a file that nobody has */
	const char *file;          /* NULL: none is known, or the server lacks it */
	struct addr to;
	struct probe probe;
	uint32_t route;            /* what the route carries without fragments */
	uint32_t blksize;          /* what came through */
	uint64_t blocks, missing;  /* of the file, in all samples: those that came, those that others overtook */
	bool works;
	bool strange;              /* its answer to options is wrong, and may be why nothing follows */
	bool interrupted;          /* by a signal: nothing more is asked */
	enum doctor_status status;
};

/* One line each, of which some say how well it works; a remedy stands behind what is limited or broken. */
void doctor_well(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void doctor_limited(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void doctor_broken(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void doctor_remedy(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ask for the file, or for one that nobody has, with these options. */
struct probe_answer doctor_read(const struct doctor *d, const struct option_set *options);

/* doctor_speed.c */
bool doctor_blocks(struct doctor *d); /* false: not one block came, there is no speed to be measured */
void doctor_speed(struct doctor *d);
void doctor_loss(struct doctor *d);

#endif
