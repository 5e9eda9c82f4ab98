/*
 * types: from a type name to the absolute type and its compiled schema: out of the two caches, or from the
 * delegation target.
 *
 * One load per key, however many wait for it.  A definite "no such type" is remembered for a short while;
 * other failures are not.  While the target cannot be asked, an expired mapping may serve if the
 * configuration allows it. Any thread but for types_new() and types_free(); nothing blocks.  Times are
 * microseconds of a clock that only goes forward.
 */
#ifndef DWS_TYPES_H
#define DWS_TYPES_H

#include "dws/loader.h"
#include "dws/mappings.h"
#include "dws/schemas.h"

struct types;

enum type_source {
    TYPE_FROM_CACHE,
    TYPE_FROM_TWS,   /* asked for this call, or for another one that came first */
    TYPE_FROM_STALE, /* out of an expired mapping, because the target cannot be asked */
};

struct type_found {
    struct blob *schema; /* a reference of the receiver's own; see schema_of() */
    enum type_source source;
    uint64_t age_us; /* since the target said so */
};

/* The receiver owns *found. rc < 0: found is NULL; the callee may take err. */
typedef void types_done_fn(void *ctx, int rc, struct type_found *found, struct err *err);
/* As loader_load(). */
typedef void types_load_fn(void *ctx, struct slice ref, loader_done_fn *done, void *done_ctx);

enum { TYPES_LATER = 1 };

struct types_options {
    const struct config *config;
    types_load_fn *load;
    void *load_ctx;
    uint64_t (*clock)(void);
};

struct types_counters {
    uint64_t schema_loads, mapping_loads; /* questions to the target: for an absolute type, for another */
    uint64_t failed_loads;                /* without a definite answer */
    uint64_t negative_hits, stale_serves;
    uint64_t waiting; /* loads that are under way */
};

struct types *types_new(const struct types_options *options) MUST_USE;
/* Nothing may be under way any more. */
void types_free(struct types *types);

/*
 * 0 and *ret; TYPES_LATER: done() will be called once, on whatever thread brings the answer; or -ERR_x:
 * -ERR_ARGUMENT with upstream's text for names that are none and for MD5 types, -ERR_NO_MODULE and
 * -ERR_NO_TYPE for a failure that is remembered.  done() gets these, and errors of the target whose texts
 * begin with LOADER_FAILED.
 */
int types_resolve(struct types *types, struct slice ref, struct type_found *ret, types_done_fn *done,
                  void *ctx, struct err *err) MUST_USE;

struct types_wanted {
    struct slice ref; /* set by the caller */
    int rc;
    struct err err;
    struct type_found found; /* schema is NULL if rc < 0 */
    struct types_batch *batch;
};

/* Several at once; owned by the caller, who keeps it until done. */
struct types_batch {
    size_t count;
    struct types_wanted *items;
    void (*done)(void *ctx);
    void *ctx;
    atomic_size_t open;
};

/* 0: all items have their outcome; TYPES_LATER: done(ctx) will be called when they have. */
int types_resolve_all(struct types *types, struct types_batch *batch) MUST_USE;
/* What the items hold. */
void types_batch_release(struct types_batch *batch);

/* Drops what is kept of one module, or all if module is empty; loads under way are not kept either. */
struct types_dropped {
    size_t schemas, mappings, negatives;
};
void types_flush(struct types *types, struct slice module, struct types_dropped *ret_dropped);
/*
 * The cluster that the target serves from now on, "" or zeros if not known.  When this returns, nothing of
 * another one is kept, and answers to questions that went out before lead to new questions; true if there was
 * another one.
 */
bool types_note_cluster(struct types *types, const char *cluster);
void types_get_cluster(struct types *types, char ret_cluster[HOPS_ID_LEN + 1]);

uint64_t types_now(struct types *types);
void types_get_counters(struct types *types, struct types_counters *ret);
/* Counts what changed in the caches. */
uint64_t types_changes(struct types *types);
struct schemas *types_schemas(struct types *types);
struct mappings *types_mappings(struct types *types);
/* Members for /status and the answer of cache_info, without a comma in front. */
void types_put_status(struct types *types, struct sbuf *json);

DEFINE_AUTO(struct types, types_free);

#endif
