/*
 * javahash: the iteration order of a java.util.HashMap with String keys, which shows in some of upstream's
 * outputs (annotation maps of the parse tree, hence module MD5s; "Unexpected arguments" texts).
 * Keys are texts as in utf.h; the hash runs over their UTF-16 units.  Pure functions, any thread.
 */
#ifndef SHARED_BASE_JAVAHASH_H
#define SHARED_BASE_JAVAHASH_H

#include "shared/base/base.h"

/* h = 31 * h + unit over all units, then spread: h ^ (h >>> 16). */
uint32_t java_hash(struct slice key);

/*
 * Fills order[0..n-1] with the indexes of `keys` (distinct, in insertion order) as a HashMap gives them.
 * initial_capacity: a power of two; the table doubles whenever the count exceeds 3/4 of it.
 */
void java_hash_order(const struct slice *keys, size_t n, uint32_t initial_capacity, size_t *order);

/* Capacity of a map that gets n entries at once by putAll(): smallest power of two >= floor(n / 0.75 + 1). */
uint32_t java_hash_putall_capacity(size_t n);

#endif
