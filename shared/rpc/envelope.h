/*
 * envelope: the JSON-RPC 1.1 request and response around a call, as upstream reads and writes them.
 *
 * Reading goes in two steps, because errors of the first carry no id and those of the second do:
 * envelope_read() parses, envelope_check() looks at what was parsed.  The slices of a struct envelope point
 * into the body or the arena, which must both outlive it.  Pure functions, any thread.
 */
#ifndef SHARED_RPC_ENVELOPE_H
#define SHARED_RPC_ENVELOPE_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/json.h"
#include "shared/base/sbuf.h"
#include "shared/net/hops.h"

struct envelope {
    bool has_method;
    struct slice method; /* full name: `Workspace.` was put in front if it had no dot */
    bool has_params;
    const struct json_val *params; /* an array */
    /*
     * NULL, unless the key stands there twice: then upstream counts in the last array, and sees there which
     * are null, but finds the others in the first one.
     */
    const struct json_val *last_params;
    bool params_unread; /* only their places and counts are known */
    bool has_id;
    struct slice id; /* as Java prints it */
    bool marked;     /* a delegation mark is in the context */
    struct hops hops;
    struct slice body; /* what was read */
    size_t object_end; /* offset in body of the closing brace of the top-level object */
};

/* What `result` is: [value], null (the method returns nothing), or [null]. */
enum result_kind { RESULT_LIST, RESULT_VOID, RESULT_NULL };

/*
 * body: UTF-8 (json_to_utf8).  -ERR_PARSE: `Parse error (...)`, as for an unknown top-level key or a
 * malformed delegation mark; -ERR_UNEXPECTED for an empty body and the literal null.
 */
int envelope_read(struct slice body, const struct json_limits *limits, struct arena *arena,
                  struct envelope *ret_env, struct err *err) MUST_USE;

/* The same, but the parameters are only checked to be JSON: params_unread, no tree. For large bodies. */
int envelope_read_outline(struct slice body, const struct json_limits *limits, struct arena *arena,
                          struct envelope *ret_env, struct err *err) MUST_USE;

/* -ERR_METHOD if method or params are not defined, -ERR_UNEXPECTED if the method has no name behind its dot.
 */
int envelope_check(const struct envelope *env, struct err *err) MUST_USE;

/* result: JSON of the value, looked at only for RESULT_LIST. */
void envelope_put_result(struct sbuf *out, struct slice result, enum result_kind kind);

/* trace: text for the member `error`, null if empty. The message is never null. */
void envelope_put_error(struct sbuf *out, const struct err *err, struct slice trace, bool has_id,
                        struct slice id);

/*
 * `,"context":{"wstyped":...}` in an encoding of `unit` (1, 2, 4) bytes per unit: what a DWS puts before the
 * closing brace of the top-level object (see json_raw_offset()) of a body that passed envelope_check().  Of
 * two contexts the last one wins for every reader.
 */
void envelope_put_mark(struct sbuf *out, int unit, bool big_endian, const struct hops *hops);

#endif
