/*
 * texts: the big texts of the type database (specs, schemas, parse trees) as answers need them: escaped for
 * JSON, quotes around them, ready to be copied into an answer.  A byte-bounded cache in front of the store.
 *
 * What is kept never changes: a record belongs to one version and is written once, and a derived text is
 * named by all it was made from.  So nothing is ever invalidated, only dropped for lack of room.
 *
 * Threads: all functions from any thread.  Functions that take may_block return -ERR_AGAIN instead of asking
 * the store if it is false.
 */
#ifndef TWS_TEXTS_H
#define TWS_TEXTS_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "tws/store/store.h"

struct texts;

/* The store is borrowed. max_bytes 0: nothing is kept. */
struct texts *texts_new(struct store *store, size_t max_bytes) MUST_USE;
void texts_free(struct texts *texts);

/*
 * Appends the text of a record as a JSON string.  scratch is for the key.  -ERR_STORE with upstream's text if
 * there is no such record, `Module wasn't uploaded: <M>` (-ERR_NO_MODULE) for a spec.
 */
int texts_put(struct texts *texts, const struct text_key *key, bool may_block, struct arena *scratch,
              struct sbuf *out, struct err *err) MUST_USE;

/* Appends the text of a record as it is stored. Always asks the store. */
int texts_read(struct texts *texts, const struct text_key *key, struct sbuf *ret_raw, struct err *err)
    MUST_USE;

/*
 * Texts derived from records, under a name that the caller makes from everything that went into them.
 * texts_name() gives names that differ from those of records: `what` is the caller's, `extra` one more number
 * that the text depends on.
 */
struct slice texts_name(char what, const struct text_key *key, int64_t extra, struct arena *arena);
bool texts_find(struct texts *texts, struct slice name, struct sbuf *out);
void texts_keep(struct texts *texts, struct slice name, struct slice text);

/* Appends `,"texts":{...}`: bytes, limit, hits, misses. */
void texts_status(struct texts *texts, struct sbuf *json);

DEFINE_AUTO(struct texts, texts_free);

#endif
