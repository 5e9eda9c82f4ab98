/*
 * uth: the one place where uthash comes in, set up so that running out of memory ends the process, as in
 * xmalloc(), and so that clients cannot choose keys that collide (SipHash-1-3 with a random key per process).
 */
#ifndef SHARED_BASE_UTH_H
#define SHARED_BASE_UTH_H

#include "shared/base/base.h"

void uth_fatal(const char *what) NORETURN;
uint64_t uth_hash(const void *bytes, size_t n);

#define uthash_malloc(n) xmalloc(n)
#define uthash_fatal(msg) uth_fatal(msg)
#define HASH_FUNCTION(bytes, n, ret_hash) \
    do { \
        (ret_hash) = (unsigned)uth_hash((bytes), (n)); \
    } while (0)

#include <uthash.h>

#endif
