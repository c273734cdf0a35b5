/* The kernel's neighbour table: which hardware address an IP address has. */
#ifndef NEIGHBOUR_H
#define NEIGHBOUR_H

#include <stddef.h>
#include <stdint.h>

/*
 * The MAC address of a neighbour, "aa-bb-cc-dd-ee-ff", or "" where it is not known: it is not on one of our links, or
 * has not spoken for a while. `ip` is 4 or 16 bytes in network order. A few system calls (rtnetlink(7)).
 */
void neighbour_mac(const uint8_t *ip, size_t len, char out[18]);

#endif
