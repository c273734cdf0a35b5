/* Memory that is needed soon is fetched now, while something else is done. A hint: any address may be named. */
#ifndef PREFETCH_H
#define PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#define PREFETCH_LINE 64                                                 /* bytes that come together */

static inline void prefetch(const void *p, size_t len)
{
	for (size_t at = 0; at < len; at += PREFETCH_LINE)
		__builtin_prefetch((const void *)((uintptr_t)p + at)); /* NULL too, where + is not defined */
}

#endif
