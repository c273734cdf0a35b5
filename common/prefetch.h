/* Memory that is needed soon is fetched now, while something else is done. A hint: any address may be named, NULL too. */
#ifndef PREFETCH_H
#define PREFETCH_H

#include <stddef.h>

#define PREFETCH_LINE ((size_t)64)                                       /* bytes that come together */

static inline void prefetch(const void *p, size_t len)
{
	/* To NULL nothing can be added. */
	for (size_t at = 0; p != NULL && at < len; at += PREFETCH_LINE)
		__builtin_prefetch((const char *)p + at);
}

#endif
