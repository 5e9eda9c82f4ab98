/*
 * schemas: what is known of absolute types: the schema's text and the program compiled from it, by `M.T-x.y`.
 *
 * An absolute type never changes, so entries never expire and the first one wins.  A schema larger than the
 * cache is used and not kept.  Any thread.  Units: microseconds, bytes.
 */
#ifndef DWS_SCHEMAS_H
#define DWS_SCHEMAS_H

#include "dws/validate/wstyped_check.h"
#include "shared/base/cache.h"

/* Attached to the blob, whose bytes are the schema's text. */
struct schema {
    struct slice absolute;
    bool released;                 /* as far as was known when it was loaded */
    struct check_program *program; /* NULL: the schema cannot be used */
    char *problem;                 /* then upstream's text */
};

struct schemas;

struct schemas *schemas_new(size_t limit) MUST_USE;
void schemas_free(struct schemas *schemas);

/* Compiles; never fails, see struct schema. One reference, the caller's. */
struct blob *schema_new(struct slice absolute, struct slice text, bool released) MUST_USE;

static inline const struct schema *schema_of(const struct blob *blob)
{
    return blob->attached.object;
}

bool schemas_find(struct schemas *schemas, struct slice absolute, uint64_t now, struct cache_found *ret_found)
    MUST_USE;
/* The same without counting. */
bool schemas_peek(struct schemas *schemas, struct slice absolute, uint64_t now, struct cache_found *ret_found)
    MUST_USE;
/* Takes the reference and gives one to what is to be used: what was there already, or this one. */
struct blob *schemas_put(struct schemas *schemas, struct blob *schema, uint64_t now) MUST_USE;

/* For listing, dropping and counting. */
struct cache *schemas_cache(struct schemas *schemas);

DEFINE_AUTO(struct schemas, schemas_free);

#endif
