#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "tws/store/store_mongo.h"

enum { FIRST_PAUSE_US = 2000, LONGEST_PAUSE_US = 200000 };

int mongo_fenced(struct err *err)
{
    return err_set(err, ERR_FENCED,
                   "this process does not hold the writer lease of the type database any more");
}

/* ---- steps as commands ---- */

static bson_t *insert_command(const char *collection, const struct doc_list *docs)
{
    bson_t *command = BCON_NEW("insert", BCON_UTF8(collection));
    char index[16];
    const char *name;
    bson_t list;

    BSON_APPEND_ARRAY_BEGIN(command, "documents", &list);
    for (size_t i = 0; i < docs->count; i++) {
        size_t n = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        bson_append_document(&list, name, (int)n, docs->items[i]);
    }
    bson_append_array_end(command, &list);
    return command;
}

static bson_t *update_command(const char *collection, const bson_t *query, const bson_t *update)
{
    return BCON_NEW("update", BCON_UTF8(collection), "updates", "[", "{", "q", BCON_DOCUMENT(query), "u",
                    BCON_DOCUMENT(update), "}", "]");
}

static bson_t *replace_command(const char *collection, const struct doc_list *docs)
{
    bson_t *command = BCON_NEW("update", BCON_UTF8(collection));
    char index[16];
    const char *name;
    bson_t list, item, query;
    bson_iter_t id;

    BSON_APPEND_ARRAY_BEGIN(command, "updates", &list);
    for (size_t i = 0; i < docs->count; i++) {
        size_t n = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        bson_append_document_begin(&list, name, (int)n, &item);
        BSON_APPEND_DOCUMENT_BEGIN(&item, "q", &query);
        if (bson_iter_init_find(&id, docs->items[i], "_id"))
            bson_append_iter(&query, "_id", -1, &id);
        bson_append_document_end(&item, &query);
        BSON_APPEND_DOCUMENT(&item, "u", docs->items[i]);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(command, &list);
    return command;
}

static bson_t *delete_command(const char *collection, const struct doc_list *docs)
{
    AUTO_BSON ids = bson_new();
    char index[16];
    const char *name;
    bson_iter_t id;

    for (size_t i = 0; i < docs->count; i++) {
        size_t n = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        if (bson_iter_init_find(&id, docs->items[i], "_id"))
            bson_append_iter(ids, name, (int)n, &id);
    }
    return BCON_NEW("delete", BCON_UTF8(collection), "deletes", "[", "{", "q", "{", "_id", "{", "$in",
                    BCON_ARRAY(ids), "}", "}", "limit", BCON_INT32(0), "}", "]");
}

bson_t *mongo_step_command(const struct step *step)
{
    const char *collection = mongo_collections[step->collection].name;

    switch (step->kind) {
    case STEP_INSERT:
        return insert_command(collection, &step->docs);
    case STEP_REPLACE:
        return replace_command(collection, &step->docs);
    case STEP_UPDATE:
        return update_command(collection, step->docs.items[0], step->docs.items[1]);
    case STEP_DELETE:
        break;
    }
    return delete_command(collection, &step->docs);
}

/* ---- a transaction ---- */

static int start(struct store_mongo *m, struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.start", "starting a transaction", false };
    struct mongo_conn *conn = &m->writer;
    bson_error_t error;
    int code = mongo_point(conn, &call, err);

    if (code)
        return code;
    if (!mongoc_client_session_start_transaction(conn->session, NULL, &error))
        return mongo_failed(m, call.doing, &error, err);
    conn->in_transaction = true;
    return 0;
}

/* What the server keeps open because it did not hear of this ends with the next transaction of the session.
 */
static void abort_it(struct store_mongo *m)
{
    m->writer.in_transaction = false;
    (void)mongoc_client_session_abort_transaction(m->writer.session, NULL);
}

/* Locks the lease document until the end, so that no take-over gets in between. */
static int touch_lease(struct store_mongo *m, int64_t fence, const bson_oid_t *attempt, struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.lease", "checking the lease", false };
    AUTO_BSON reply = NULL;
    AUTO_BSON query = BCON_NEW("_id", "writer", "token", BCON_INT64(fence));
    AUTO_BSON update = BCON_NEW("0", "{", "$set", "{", "seq", "{", "$add", "[", "$seq", BCON_INT64(1), "]",
                                "}", "attempt", BCON_OID(attempt), "renewed", "$$NOW", "expires", "{", "$add",
                                "[", "$$NOW", BCON_INT64(m->ttl_ms), "]", "}", "}", "}");
    AUTO_BSON command = BCON_NEW("update", MONGO_LEASE, "updates", "[", "{", "q", BCON_DOCUMENT(query), "u",
                                 BCON_ARRAY(update), "}", "]");

    int code = mongo_write(&m->writer, &call, command, &reply, err);
    return !code && mongo_int(reply, "n") != 1 ? mongo_fenced(err) : code;
}

static const struct mongo_call step_calls[] = {
    [STEP_INSERT] = { "mongo.commit.insert", "writing", false },
    [STEP_REPLACE] = { "mongo.commit.replace", "writing", false },
    [STEP_UPDATE] = { "mongo.commit.update", "writing", false },
    [STEP_DELETE] = { "mongo.commit.delete", "writing", false },
};

static int run_step(struct store_mongo *m, const struct step *step, struct err *err)
{
    AUTO_BSON command = mongo_step_command(step);
    AUTO_BSON reply = NULL;
    AUTO_ERR(why);

    int code = mongo_write(&m->writer, &step_calls[step->kind], command, &reply, &why);
    if (code && m->writer.code == SERVER_DUPLICATE_KEY)
        return mongo_key_conflict(step->collection, step->docs.items[0], err);
    if (code)
        return err_move(err, &why);
    int64_t expected = step->kind == STEP_UPDATE    ? 1
                       : step->kind == STEP_REPLACE ? (int64_t)step->docs.count
                                                    : mongo_int(reply, "n");
    if (mongo_int(reply, "n") != expected)
        return err_set(err, ERR_CONFLICT, "type database: a record has been changed meanwhile");
    return 0;
}

static int run_steps(struct store_mongo *m, const struct change_set *set, struct err *err)
{
    AUTO(mongo_plan_release_auto) struct plan plan = { 0 };
    int code = mongo_plan(&m->writer, set, false, &plan, err);

    for (size_t i = 0; i < plan.count && !code; i++)
        code = run_step(m, &plan.steps[i], err);
    return code;
}

/* ---- its end ---- */

static int commit_once(struct store_mongo *m, struct err *err)
{
    struct mongo_conn *conn = &m->writer;
    bson_error_t error = { 0 };
    bson_t reply;
    int code = 0;

    conn->transient = conn->unknown = false;
    if (!mongoc_client_session_commit_transaction(conn->session, &reply, &error)) {
        conn->transient = mongoc_error_has_label(&reply, "TransientTransactionError");
        conn->unknown = mongoc_error_has_label(&reply, "UnknownTransactionCommitResult");
        code = mongo_failed(m, "committing", &error, err);
    }
    bson_destroy(&reply);
    return code;
}

/*
 * A transaction of the same session with a higher number makes the server forget the one in doubt, unless
 * that is committed; so once this one is, what it reads is final.
 */
static int supersede(struct store_mongo *m, int64_t fence, bson_t **ret_lease, struct err *err)
{
    static const struct mongo_call call = { "mongo.resolve.update", "looking up a commit", false };
    AUTO_BSON command =
        BCON_NEW("update", MONGO_LEASE, "updates", "[", "{", "q", "{", "_id", "writer", "token",
                 BCON_INT64(fence), "}", "u", "{", "$inc", "{", "seq", BCON_INT64(1), "}", "}", "}", "]");
    AUTO_BSON reply = NULL;
    int code = start(m, err);

    if (code)
        return code;
    code = mongo_write(&m->writer, &call, command, &reply, err);
    if (!code)
        code = mongo_lease_read(&m->writer, "mongo.resolve.read", ret_lease, err);
    if (code) {
        abort_it(m);
        return code;
    }
    code = commit_once(m, err);
    m->writer.in_transaction = false;
    return code;
}

int mongo_look_up(struct store_mongo *m, const bson_t *lease, struct err *err)
{
    const struct mongo_open_end *end = &m->open_end;
    int64_t hands = lease ? mongo_int(lease, "token") - end->fence : -1;
    bson_iter_t iter;

    if (hands != 0 && hands != 1)
        return err_set(
            err, ERR_STORE,
            "type database: the outcome of the commit is unknown: the lease has been taken since, more "
            "than once");
    bool done = bson_iter_init_find(&iter, lease, hands ? "inherited" : "attempt") &&
                BSON_ITER_HOLDS_OID(&iter) && bson_oid_equal(bson_iter_oid(&iter), &end->attempt);
    if (done)
        return 0;
    return hands ? mongo_fenced(err) : err_set(err, ERR_CONFLICT, "type database: the commit was not done");
}

static int resolve_transaction(struct store_mongo *m, uint64_t deadline, struct err *err)
{
    AUTO_ERR(why);

    for (;;) {
        AUTO_BSON lease = NULL;
        int code = supersede(m, m->open_end.fence, &lease, &why);
        if (!code)
            return mongo_look_up(m, lease, err);
        if (clock_us() >= deadline)
            break;
        err_clear(&why);
        usleep(LONGEST_PAUSE_US);
    }
    return err_set(err, ERR_STORE, "type database: the outcome of the commit is unknown: %s", err_text(&why));
}

static int resolve(struct store_mongo *m, uint64_t deadline, struct err *err)
{
    int code = m->transactions ? resolve_transaction(m, deadline, err) : mongo_resolve_log(m, err);

    m->open_end.unresolved = code == -ERR_STORE;
    return code;
}

static int finish(struct store_mongo *m, int64_t fence, const bson_oid_t *attempt, bool *ret_again,
                  struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.commit", "committing", false };
    uint64_t deadline = clock_us() + MONGO_COMMIT_LIMIT_MS * 1000;
    bool doubt = false;
    AUTO_ERR(why);
    int code = mongo_point(&m->writer, &call, err);

    if (code) {
        abort_it(m);
        return code;
    }
    for (;;) {
        code = commit_once(m, &why);
        doubt = doubt || m->writer.unknown;
        if (!code || !m->writer.unknown || clock_us() > deadline)
            break;
        err_clear(&why);
        usleep(LONGEST_PAUSE_US / 4);
    }
    m->writer.in_transaction = false;
    if (!code)
        (void)FAULT_POINT("mongo.commit.committed");
    if (!code)
        return 0;
    /* any other failure may hide a success: a session that is ended meanwhile interrupts even a commit */
    if (!doubt && m->writer.transient) {
        *ret_again = true;
        return err_move(err, &why);
    }
    m->open_end = (struct mongo_open_end){ .unresolved = true, .fence = fence, .attempt = *attempt };
    code = resolve(m, deadline + MONGO_COMMIT_LIMIT_MS * 1000, err);
    *ret_again = code == -ERR_CONFLICT;
    return code;
}

static int try_transaction(struct store_mongo *m, const struct change_set *set, int64_t fence,
                           bool *ret_again, struct err *err)
{
    bson_oid_t attempt;

    bson_oid_init(&attempt, NULL);
    *ret_again = false;
    int code = start(m, err);
    if (code)
        return code;
    code = touch_lease(m, fence, &attempt, err);
    if (!code)
        code = run_steps(m, set, err);
    if (!code)
        return finish(m, fence, &attempt, ret_again, err);
    *ret_again = m->writer.transient || m->writer.code == SERVER_INTERRUPTED;
    abort_it(m);
    return code;
}

static int commit_by_transaction(struct store_mongo *m, const struct change_set *set, int64_t fence,
                                 struct err *err)
{
    uint64_t deadline = clock_us() + MONGO_COMMIT_LIMIT_MS * 1000;
    unsigned pause = FIRST_PAUSE_US;

    for (;;) {
        AUTO_ERR(why);
        bool again;
        int code = try_transaction(m, set, fence, &again, &why);
        if (!code)
            return 0;
        if (!again)
            return err_move(err, &why);
        if (clock_us() > deadline)
            return err_set_text(err, ERR_STORE, slice_of(why.text, why.len));
        usleep(pause);
        pause = pause < LONGEST_PAUSE_US ? 2 * pause : LONGEST_PAUSE_US;
    }
}

/* ---- for the vtable ---- */

int mongo_settle(struct store_mongo *m, struct err *err)
{
    struct mongo_open_end *end = &m->open_end;
    AUTO_ERR(why);
    int code;

    if (end->unresolved) {
        code = resolve(m, 0, &why);
        if (code == -ERR_STORE)
            return err_move(err, &why);
        /* whoever asked for that commit was told that it failed */
        if (!code)
            m->base.outdated = true;
        end->unapplied = !code && !m->transactions;
    }
    if (!end->unapplied)
        return 0;
    code = mongo_apply(m, end->fence, &end->attempt, end->parts, 0, err);
    if (code && code != -ERR_FENCED)
        return code;
    end->unapplied = false;
    m->base.outdated = true;
    return code;
}

static int commit_locked(struct store_mongo *m, const struct change_set *set, int64_t fence, struct err *err)
{
    if (m->base.read_only)
        return err_set(err, ERR_READ_ONLY, "%s", m->base.read_only_reason);
    int code = mongo_settle(m, err);
    if (code)
        return code;
    if (m->base.outdated)
        return err_set(
            err, ERR_STORE,
            "type database: a commit that was reported as failed has been done after all; nothing is written "
            "until the type database has been loaded again");
    return m->transactions ? commit_by_transaction(m, set, fence, err)
                           : mongo_commit_by_log(m, set, fence, err);
}

int mongo_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err)
{
    struct store_mongo *m = (struct store_mongo *)store;

    pthread_mutex_lock(&m->write_lock);
    int code = commit_locked(m, set, fence, err);
    pthread_mutex_unlock(&m->write_lock);
    return code;
}
