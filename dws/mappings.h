/*
 * mappings: which absolute type `Module.Type` or `Module.Type-major` means now.
 *
 * A mapping expires a fixed time after it was written and may be kept for longer, to serve while the
 * delegation target cannot be asked.  It never moves to an older version.  Keys are normalised type names;
 * values absolute types.  Any thread.  Units: microseconds, bytes.
 */
#ifndef DWS_MAPPINGS_H
#define DWS_MAPPINGS_H

#include "shared/base/cache.h"
#include "shared/base/typename.h"

struct mappings;

/* ttl 0: nothing is ever fresh. */
struct mappings *mappings_new(size_t limit, uint64_t ttl, uint64_t max_stale) MUST_USE;
void mappings_free(struct mappings *mappings);
/* *ret_found->value is the absolute type; expired: only to be used if the target cannot be asked. */
bool mappings_find(struct mappings *mappings, struct slice key, uint64_t now, struct cache_found *ret_found)
    MUST_USE;
/* The same without counting. */
bool mappings_peek(struct mappings *mappings, struct slice key, uint64_t now, struct cache_found *ret_found)
    MUST_USE;
/* Keeps what the target said, unless there is a newer version that has not expired. */
void mappings_put(struct mappings *mappings, struct slice key, struct slice absolute, uint64_t now);
/*
 * A released version is known: what is kept for `M.T-<major>` and `M.T` moves to it if that is older. Nothing
 * is added, and nothing that stays is renewed.  True if something moved.
 */
bool mappings_advance(struct mappings *mappings, const struct type_id *absolute, uint64_t now);
void mappings_drop(struct mappings *mappings, struct slice key);

/* For listing, dropping and counting. */
struct cache *mappings_cache(struct mappings *mappings);

DEFINE_AUTO(struct mappings, mappings_free);

#endif
