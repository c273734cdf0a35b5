/* A directory of a test's own, and what lies in it. */
#ifndef UNIT_DIR_H
#define UNIT_DIR_H

#include <stddef.h>
#include <sys/types.h>

/* A new, empty directory; a descriptor for it. It is removed, with the files in it, by unit_dir_close. */
int unit_dir_open(void);
void unit_dir_close(int dir);

/* Make a file with these bytes and this mode (umask does not count). */
void unit_dir_put(int dir, const char *name, const void *bytes, size_t len, mode_t mode);

/* Whether the file holds exactly these bytes. */
int unit_dir_holds(int dir, const char *name, const void *bytes, size_t len);

/* How many entries there are whose names begin with `prefix`; the last one's name goes to `name` if it isn't NULL. */
int unit_dir_count(int dir, const char *prefix, char name[256]);

#endif
