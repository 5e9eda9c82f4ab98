#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "tws/store/store_mongo.h"

enum { LOG_INSERT_BYTES = 32 * 1024 * 1024, APPLY_PAUSE_US = 100000 };

static const char *const kind_names[] = {
    [STEP_INSERT] = "put", [STEP_REPLACE] = "put", [STEP_UPDATE] = "update", [STEP_DELETE] = "delete"
};

/* ---- writing a log ---- */

static void append_id(bson_t *doc, const char *key, const bson_oid_t *attempt, int32_t n)
{
    bson_t id;

    bson_append_document_begin(doc, key, -1, &id);
    BSON_APPEND_OID(&id, "attempt", attempt);
    BSON_APPEND_INT32(&id, "n", n);
    bson_append_document_end(doc, &id);
}

static bson_t *part_doc(const bson_oid_t *attempt, int32_t n, const struct step *step)
{
    bool put = step->kind == STEP_INSERT || step->kind == STEP_REPLACE;
    bson_t *doc = bson_new(), list;
    char index[16];
    const char *name;

    append_id(doc, "_id", attempt, n);
    BSON_APPEND_UTF8(doc, "kind", kind_names[step->kind]);
    BSON_APPEND_UTF8(doc, "collection", mongo_collections[step->collection].name);
    BSON_APPEND_ARRAY_BEGIN(doc, put ? "puts" : "docs", &list);
    for (size_t i = 0; i < step->docs.count; i++) {
        size_t len = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        bson_append_document(&list, name, (int)len, step->docs.items[i]);
    }
    bson_append_array_end(doc, &list);
    return doc;
}

/* As many parts as go into one message; returns the number of the next one. */
static int write_parts(struct store_mongo *m, const bson_oid_t *attempt, const struct plan *plan,
                       size_t *next, struct err *err)
{
    static const struct mongo_call call = { "mongo.log.insert", "writing the redo log", true };
    AUTO_BSON command = BCON_NEW("insert", MONGO_INTENTS);
    size_t first = *next, bytes = 0;
    char index[16];
    const char *name;
    bson_t list;

    BSON_APPEND_ARRAY_BEGIN(command, "documents", &list);
    do {
        AUTO_BSON part = part_doc(attempt, (int32_t)*next, &plan->steps[*next]);
        if (*next > first && bytes + part->len > LOG_INSERT_BYTES)
            break;
        bytes += part->len;
        size_t n = bson_uint32_to_string((uint32_t)(*next - first), &name, index, sizeof(index));
        bson_append_document(&list, name, (int)n, part);
    } while (++*next < plan->count);
    bson_append_array_end(command, &list);
    return mongo_write(&m->writer, &call, command, NULL, err);
}

static int write_log(struct store_mongo *m, const bson_oid_t *attempt, const struct plan *plan,
                     struct err *err)
{
    int code = 0;

    for (size_t next = 0; next < plan->count && !code;)
        code = write_parts(m, attempt, plan, &next, err);
    return code;
}

/* {_id: {$gte: the first part, $lte: the last there can be}} */
static bson_t *parts_of(const bson_oid_t *attempt)
{
    bson_t *filter = bson_new(), range;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &range);
    append_id(&range, "$gte", attempt, 0);
    append_id(&range, "$lte", attempt, INT32_MAX);
    bson_append_document_end(filter, &range);
    return filter;
}

static int delete_parts(struct store_mongo *m, const bson_t *filter, const char *point, struct err *err)
{
    const struct mongo_call call = { point, "deleting the redo log", false };
    AUTO_BSON command = BCON_NEW("delete", MONGO_INTENTS, "deletes", "[", "{", "q", BCON_DOCUMENT(filter),
                                 "limit", BCON_INT32(0), "}", "]");

    return mongo_write(&m->writer, &call, command, NULL, err);
}

/* ---- the commit point ---- */

/* -ERR_STORE: try again or look it up. *ret_hit: the document was as expected and is changed. */
static int set_pending(struct store_mongo *m, bool *ret_hit, struct err *err)
{
    static const struct mongo_call call = { "mongo.log.point", "committing", true };
    const struct mongo_open_end *end = &m->open_end;
    AUTO_BSON command = BCON_NEW(
        "update", MONGO_LEASE, "updates", "[", "{", "q", "{", "_id", "writer", "token",
        BCON_INT64(end->fence), "seq", BCON_INT64(end->seq), "pending", BCON_NULL, "}", "u", "{", "$set", "{",
        "seq", BCON_INT64(end->seq + 1), "attempt", BCON_OID(&end->attempt), "pending", "{", "attempt",
        BCON_OID(&end->attempt), "parts", BCON_INT32(end->parts), "}", "}", "}", "}", "]");
    AUTO_BSON reply = NULL;

    int code = mongo_write(&m->writer, &call, command, &reply, err);
    if (!code)
        (void)FAULT_POINT("mongo.log.pointed");
    *ret_hit = !code && mongo_int(reply, "n") == 1;
    return code;
}

static int look_up_now(struct store_mongo *m, struct err *err)
{
    AUTO_BSON lease = NULL;
    int code = mongo_lease_read(&m->writer, "mongo.resolve.read", &lease, err);

    return code ? code : mongo_look_up(m, lease, err);
}

int mongo_resolve_log(struct store_mongo *m, struct err *err)
{
    static const struct mongo_call call = { "mongo.resolve.update", "looking up a commit", true };
    const struct mongo_open_end *end = &m->open_end;
    /* an update that is still under way somewhere finds another seq from now on */
    AUTO_BSON command = BCON_NEW("update", MONGO_LEASE, "updates", "[", "{", "q", "{", "_id", "writer",
                                 "token", BCON_INT64(end->fence), "seq", BCON_INT64(end->seq), "}", "u", "{",
                                 "$inc", "{", "seq", BCON_INT64(1), "}", "}", "}", "]");
    int code = mongo_write(&m->writer, &call, command, NULL, err);

    return code ? code : look_up_now(m, err);
}

/* The same conditional update again is harmless: it applies once at most. */
static int pass_point(struct store_mongo *m, struct err *err)
{
    uint64_t deadline = clock_us() + MONGO_COMMIT_LIMIT_MS * 1000;

    m->open_end.unresolved = true;
    for (;;) {
        AUTO_ERR(why);
        bool hit;
        int code = set_pending(m, &hit, &why);
        if (!code && !hit)
            code = look_up_now(m, &why);
        if (code == 0 || code == -ERR_FENCED || code == -ERR_CONFLICT) {
            m->open_end.unresolved = false;
            return code == -ERR_CONFLICT ? err_set(err, ERR_STORE, "%s", err_text(&why))
                                         : err_move(err, &why);
        }
        if (clock_us() > deadline)
            return err_set(err, ERR_STORE, "type database: the outcome of the commit is unknown: %s",
                           err_text(&why));
        usleep(APPLY_PAUSE_US);
    }
}

/* ---- applying ---- */

static int keep_part(void *ctx, const bson_t *doc, struct err *err)
{
    (void)err;
    doc_list_add(ctx, bson_copy(doc));
    return 0;
}

static int read_parts(struct store_mongo *m, const bson_oid_t *attempt, struct doc_list *parts,
                      struct err *err)
{
    static const struct mongo_call call = { "mongo.apply.read", "reading the redo log", false };
    AUTO_BSON filter = parts_of(attempt);
    AUTO_BSON opts =
        BCON_NEW("projection", "{", "puts", BCON_INT32(0), "}", "sort", "{", "_id", BCON_INT32(1), "}");

    return mongo_find(&m->writer, &call, MONGO_INTENTS, filter, opts, keep_part, parts, err);
}

/* The server moves the documents from the log into their collection: without the log there is nothing to
 * move. */
static int put_part(struct store_mongo *m, const bson_t *part, struct slice collection, struct err *err)
{
    static const struct mongo_call call = { "mongo.apply.put", "writing", false };
    AUTO(free_str_auto) char *into = xmemdup(collection.p, collection.n);
    bson_t id;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t n;

    if (!bson_iter_init_find(&iter, part, "_id") || !BSON_ITER_HOLDS_DOCUMENT(&iter))
        return err_set(err, ERR_STORE, "type database: the redo log cannot be read");
    bson_iter_document(&iter, &n, &data);
    if (!bson_init_static(&id, data, n))
        return err_set(err, ERR_STORE, "type database: the redo log cannot be read");
    AUTO_BSON command =
        BCON_NEW("aggregate", MONGO_INTENTS, "pipeline", "[", "{", "$match", "{", "_id", BCON_DOCUMENT(&id),
                 "}", "}", "{", "$unwind", "$puts", "}", "{", "$replaceWith", "$puts", "}", "{", "$merge",
                 "{", "into", BCON_UTF8(into), "on", "_id", "whenMatched", "replace", "whenNotMatched",
                 "insert", "}", "}", "]", "cursor", "{", "}");
    return mongo_write(&m->writer, &call, command, NULL, err);
}

static int collection_named(struct slice name)
{
    for (int i = 0; i < MONGO_COLLECTION_COUNT; i++)
        if (slice_is(name, mongo_collections[i].name))
            return i;
    return -1;
}

static void take_docs(const bson_t *part, struct doc_list *docs)
{
    bson_iter_t iter, child;
    const uint8_t *data;
    uint32_t n;
    bson_t doc;

    if (!bson_iter_init_find(&iter, part, "docs") || !bson_iter_recurse(&iter, &child))
        return;
    while (bson_iter_next(&child)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&child))
            continue;
        bson_iter_document(&child, &n, &data);
        if (bson_init_static(&doc, data, n))
            doc_list_add(docs, bson_copy(&doc));
    }
}

static int run_part(struct store_mongo *m, const bson_t *part, enum step_kind kind, int collection,
                    struct err *err)
{
    static const struct mongo_call update_call = { "mongo.apply.update", "writing", false };
    static const struct mongo_call delete_call = { "mongo.apply.delete", "writing", false };
    struct plan plan = { .steps = xcalloc(1, sizeof(*plan.steps)), .count = 1 };
    AUTO_BSON reply = NULL;
    int code;

    plan.steps[0].kind = kind;
    plan.steps[0].collection = (enum mongo_collection_id)collection;
    take_docs(part, &plan.steps[0].docs);
    if (kind == STEP_UPDATE && plan.steps[0].docs.count != 2) {
        code = err_set(err, ERR_STORE, "type database: the redo log cannot be read");
    } else {
        AUTO_BSON command = mongo_step_command(&plan.steps[0]);
        code =
            mongo_write(&m->writer, kind == STEP_UPDATE ? &update_call : &delete_call, command, &reply, err);
    }
    if (!code && kind == STEP_UPDATE && mongo_int(reply, "n") != 1)
        code = err_set(
            err, ERR_STORE,
            "type database: a record of %s is not what a commit left there; another program has changed it",
            mongo_collections[collection].name);
    mongo_plan_release(&plan);
    return code;
}

static int apply_part(struct store_mongo *m, const bson_t *part, struct err *err)
{
    struct slice kind, collection;

    if (!mongo_get_text(part, "kind", &kind) || !mongo_get_text(part, "collection", &collection) ||
        collection_named(collection) < 0)
        return err_set(err, ERR_STORE, "type database: the redo log cannot be read");
    if (slice_is(kind, kind_names[STEP_INSERT]))
        return put_part(m, part, collection, err);
    return run_part(m, part, slice_is(kind, kind_names[STEP_UPDATE]) ? STEP_UPDATE : STEP_DELETE,
                    collection_named(collection), err);
}

/* 0: ours, and nothing is pending; -ERR_STORE: it is. */
static int look_at_pending(struct store_mongo *m, int64_t token, struct err *err)
{
    AUTO_BSON lease = NULL;
    bson_iter_t iter;
    int code = mongo_lease_read(&m->writer, "mongo.apply.look", &lease, err);

    if (code)
        return code;
    if (!lease || mongo_int(lease, "token") != token)
        return mongo_fenced(err);
    if (bson_iter_init_find(&iter, lease, "pending") && BSON_ITER_HOLDS_NULL(&iter))
        return 0;
    return err_set(err, ERR_STORE, "type database: the redo log of a commit is not complete");
}

/* Journaled, and with it all that was written before. */
static int clear_pending(struct store_mongo *m, int64_t token, const bson_oid_t *attempt, struct err *err)
{
    static const struct mongo_call call = { "mongo.apply.clear", "ending a commit", true };
    AUTO_BSON command = BCON_NEW("update", MONGO_LEASE, "updates", "[", "{", "q", "{", "_id", "writer",
                                 "token", BCON_INT64(token), "pending.attempt", BCON_OID(attempt), "}", "u",
                                 "{", "$set", "{", "pending", BCON_NULL, "}", "}", "}", "]");
    AUTO_BSON reply = NULL;
    int code = mongo_write(&m->writer, &call, command, &reply, err);

    /* otherwise an earlier try has done it whose answer was lost, or the lease is somebody else's */
    return code || mongo_int(reply, "n") == 1 ? code : look_at_pending(m, token, err);
}

static int apply_parts(struct store_mongo *m, int64_t token, const struct doc_list *parts, struct err *err)
{
    int code = 0;

    for (size_t i = 0; i < parts->count && !code; i++) {
        code = mongo_lease_extend(m, token, err);
        if (!code)
            code = apply_part(m, parts->items[i], err);
    }
    return code;
}

static int apply_once(struct store_mongo *m, int64_t token, const bson_oid_t *attempt, int32_t count,
                      struct err *err)
{
    struct plan all = { .steps = xcalloc(1, sizeof(*all.steps)), .count = 1 };
    struct doc_list *parts = &all.steps[0].docs;
    int code = read_parts(m, attempt, parts, err);

    if (!code && parts->count != (size_t)count) {
        code = look_at_pending(m, token, err);
    } else if (!code) {
        code = apply_parts(m, token, parts, err);
        if (!code)
            code = clear_pending(m, token, attempt, err);
    }
    mongo_plan_release(&all);
    return code;
}

int mongo_apply(struct store_mongo *m, int64_t token, const bson_oid_t *attempt, int32_t parts,
                uint64_t deadline, struct err *err)
{
    AUTO_BSON filter = parts_of(attempt);

    for (;;) {
        AUTO_ERR(why);
        int code = apply_once(m, token, attempt, parts, &why);
        if (!code)
            break;
        if (code == -ERR_FENCED || clock_us() >= deadline)
            return err_move(err, &why);
        usleep(APPLY_PAUSE_US);
    }
    /* the next holder deletes what stays */
    (void)delete_parts(m, filter, "mongo.apply.delete_log", NULL);
    return 0;
}

/* ---- a commit ---- */

static int check_lease(struct store_mongo *m, int64_t fence, int64_t *ret_seq, struct err *err)
{
    AUTO_BSON lease = NULL;
    int code = mongo_lease_extend(m, fence, err);

    if (!code)
        code = mongo_lease_read(&m->writer, "mongo.commit.lease", &lease, err);
    if (code)
        return code;
    if (!lease || mongo_int(lease, "token") != fence)
        return mongo_fenced(err);
    *ret_seq = mongo_int(lease, "seq");
    return 0;
}

static int write_out(struct store_mongo *m, struct err *err)
{
    uint64_t limit = clock_us() + MONGO_COMMIT_LIMIT_MS * 1000;
    struct mongo_open_end *end = &m->open_end;
    AUTO_ERR(why);
    int code = mongo_apply(m, end->fence, &end->attempt, end->parts, limit, &why);

    /* whoever has taken the lease finishes it before serving, so it is done */
    if (!code || code == -ERR_FENCED)
        return 0;
    end->unapplied = true;
    return err_set(err, ERR_STORE, "type database: the commit is recorded and will be finished later: %s",
                   err_text(&why));
}

int mongo_commit_by_log(struct store_mongo *m, const struct change_set *set, int64_t fence, struct err *err)
{
    AUTO(mongo_plan_release_auto) struct plan plan = { 0 };
    struct mongo_open_end end = { .fence = fence };
    int code = check_lease(m, fence, &end.seq, err);

    if (!code)
        code = mongo_plan(&m->writer, set, true, &plan, err);
    if (code || !plan.count)
        return code;
    bson_oid_init(&end.attempt, NULL);
    end.parts = (int32_t)plan.count;
    code = write_log(m, &end.attempt, &plan, err);
    if (code)
        return code;
    m->open_end = end;
    code = pass_point(m, err);
    return code ? code : write_out(m, err);
}

int mongo_recover(struct store_mongo *m, const bson_t *lease, int64_t token, struct err *err)
{
    AUTO_BSON all = bson_new();
    bson_iter_t iter, id;

    if (bson_iter_init_find(&iter, lease, "pending") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bool ok = bson_iter_recurse(&iter, &id) && bson_iter_find(&id, "attempt") && BSON_ITER_HOLDS_OID(&id);
        if (!ok)
            return err_set(err, ERR_STORE, "type database: the lease document cannot be read");
        bson_oid_t attempt = *bson_iter_oid(&id);
        int code = mongo_apply(m, token, &attempt, (int32_t)mongo_int(lease, "pending.parts"),
                               clock_us() + MONGO_COMMIT_LIMIT_MS * 1000, err);
        if (code)
            return code;
    }
    return delete_parts(m, all, "mongo.recover.delete_logs", err);
}
