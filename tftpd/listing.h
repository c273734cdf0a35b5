/*
 * Which names a directory has, in whatever case, remembered from one request to the next.
 *
 * Machines that boot ask for file after file that is not there, and a name in another case is found only by reading the
 * directory: ten milliseconds where it holds ten thousand files, for each miss of each machine. Here it is read again
 * only when it has changed.
 */
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stddef.h>

/* Most entries of a directory that are looked at; others are not found in another case. */
#define LISTING_ENTRIES 8192

/*
 * A change within the clock tick in which a directory was read does not show: what is known of one that changed less than
 * so many seconds ago is not remembered.
 */
#define LISTING_SETTLED 2

struct listings;

/*
 * `settled`: LISTING_SETTLED, or less where nothing changes behind a test's back. NULL: out of memory; everything here
 * takes that, and remembers nothing.
 */
struct listings *listings_new(int settled);
void listings_del(struct listings *l);

/*
 * Whether the directory `fd` is known to have no entry that equals these `len` bytes in some case. False: it may have
 * one. The directory's offset is at its beginning afterwards.
 */
bool listings_lack(struct listings *l, int fd, const char *name, size_t len);

#endif
