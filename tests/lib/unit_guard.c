/* Memory that ends at an inaccessible page, see unit_guard.h. */
#include "unit_guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint8_t *unit_guard_end(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *start = mmap(NULL, UNIT_GUARD_ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED || mprotect(start + UNIT_GUARD_ROOM, page, PROT_NONE) != 0)
		abort();
	return start + UNIT_GUARD_ROOM;
}

uint8_t *unit_guard_copy(uint8_t *end, const void *bytes, size_t len)
{
	if (len > UNIT_GUARD_ROOM)
		abort();
	if (len > 0)
		memcpy(end - len, bytes, len);
	return end - len;
}
