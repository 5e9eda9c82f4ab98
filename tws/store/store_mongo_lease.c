#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "tws/store/store_mongo.h"

enum { EXTEND_BELOW_MS = 2000, EXTEND_TO_MS = 5000, TAKE_LIMIT_MS = 5000 };

int mongo_lease_init(struct mongo_conn *conn, struct err *err)
{
    static const struct mongo_call call = { "mongo.open.lease", "making the lease document", true };
    AUTO_BSON command =
        BCON_NEW("insert", MONGO_LEASE, "documents", "[", "{", "_id", "writer", "token", BCON_INT64(0),
                 "node", BCON_NULL, "host", BCON_NULL, "pid", BCON_INT64(0), "renewed", BCON_DATE_TIME(0),
                 "expires", BCON_DATE_TIME(0), "session", BCON_NULL, "seq", BCON_INT64(0), "attempt",
                 BCON_NULL, "inherited", BCON_NULL, "pending", BCON_NULL, "}", "]");
    AUTO_ERR(why);
    int code = mongo_write(conn, &call, command, NULL, &why);

    return code && conn->code != SERVER_DUPLICATE_KEY ? err_move(err, &why) : 0;
}

int mongo_lease_read(struct mongo_conn *conn, const char *point, bson_t **ret_doc, struct err *err)
{
    const struct mongo_call call = { point, "reading the lease", false };
    AUTO_BSON filter = BCON_NEW("_id", "writer");

    return mongo_find_one(conn, &call, MONGO_LEASE, filter, NULL, ret_doc, err);
}

/* An update as a pipeline, so that the times are the server's; 1 document has to match. */
static int update_lease(struct store_mongo *m, int64_t fence, const bson_t *set,
                        const struct mongo_call *call, struct err *err)
{
    AUTO_BSON command = BCON_NEW("update", MONGO_LEASE, "updates", "[", "{", "q", "{", "_id", "writer",
                                 "token", BCON_INT64(fence), "}", "u", "[", "{", "$set", BCON_DOCUMENT(set),
                                 "}", "]", "}", "]", "maxTimeMS", BCON_INT32(TAKE_LIMIT_MS));
    AUTO_BSON reply = NULL;
    int code = mongo_write(&m->writer, call, command, &reply, err);

    if (!code && mongo_int(reply, "n") != 1)
        return err_set(err, ERR_FENCED, "another process has taken the writer lease of the type database");
    return code;
}

/* Ends a transaction that the server still keeps open for a session: it would keep the lease document locked.
 */
static void end_session(struct store_mongo *m, const bson_value_t *id)
{
    AUTO_BSON session = bson_new();

    BSON_APPEND_VALUE(session, "id", id);
    AUTO_BSON command = BCON_NEW("killSessions", "[", BCON_DOCUMENT(session), "]");
    mongo_admin(&m->writer, command);
}

static void end_own_session(struct store_mongo *m)
{
    bson_iter_t iter;

    if (m->writer.session &&
        bson_iter_init_find(&iter, mongoc_client_session_get_lsid(m->writer.session), "id"))
        end_session(m, bson_iter_value(&iter));
}

static int renew(struct store_mongo *m, int64_t fence, int64_t ttl_ms, struct err *err)
{
    static const struct mongo_call call = { "mongo.lease_renew.update", "renewing the lease", false };
    AUTO_BSON set =
        BCON_NEW("renewed", "$$NOW", "expires", "{", "$add", "[", "$$NOW", BCON_INT64(ttl_ms), "]", "}");
    uint64_t begin = clock_us();
    AUTO_ERR(why);
    int code = update_lease(m, fence, set, &call, &why);

    if (code == -ERR_STORE && m->transactions) {
        end_own_session(m);
        err_clear(&why);
        code = update_lease(m, fence, set, &call, &why);
    }
    if (code)
        return err_move(err, &why);
    if (fence == m->token)
        m->lease_end_us = begin + (uint64_t)ttl_ms * 1000;
    return 0;
}

int mongo_lease_extend(struct store_mongo *m, int64_t fence, struct err *err)
{
    if (fence != m->token)
        return mongo_fenced(err);
    if (clock_us() + EXTEND_BELOW_MS * 1000 < m->lease_end_us)
        return 0;
    return renew(m, fence, m->ttl_ms > EXTEND_TO_MS ? m->ttl_ms : EXTEND_TO_MS, err);
}

int mongo_lease_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err)
{
    struct store_mongo *m = (struct store_mongo *)store;

    pthread_mutex_lock(&m->write_lock);
    int code = renew(m, fence, ttl_ms, err);
    if (!code && fence == m->token) {
        m->ttl_ms = ttl_ms;
        /* a failure is reported by the next commit, which tries too */
        mongo_settle(m, NULL);
    }
    pthread_mutex_unlock(&m->write_lock);
    return code;
}

int mongo_lease_give_up(struct store *store, int64_t fence, struct err *err)
{
    static const struct mongo_call call = { "mongo.lease_give_up.update", "giving up the lease", false };
    struct store_mongo *m = (struct store_mongo *)store;
    AUTO_BSON set =
        BCON_NEW("token", "{", "$add", "[", "$token", BCON_INT64(1), "]", "}", "node", BCON_NULL, "host",
                 BCON_NULL, "expires", "$$NOW", "inherited", "$attempt", "attempt", BCON_NULL);

    pthread_mutex_lock(&m->write_lock);
    int code = update_lease(m, fence, set, &call, err);
    if (!code && fence == m->token)
        m->token = 0;
    pthread_mutex_unlock(&m->write_lock);
    return code;
}

/* ---- taking ---- */

/* Free: nobody has it, it is past its time, or it is this node's own. */
static bson_t *free_for(const struct lease_holder *me)
{
    return BCON_NEW("$or", "[", "{", "$eq", "[", "$node", BCON_NULL, "]", "}", "{", "$eq", "[", "$node", "{",
                    "$literal", BCON_UTF8(me->node), "}", "]", "}", "{", "$lte", "[", "$expires", "$$NOW",
                    "]", "}", "]");
}

static int first_of_batch(const bson_t *reply, bson_t **ret_doc)
{
    bson_iter_t iter, found;
    const uint8_t *data;
    uint32_t n;
    bson_t doc;

    *ret_doc = NULL;
    if (!bson_iter_init(&iter, reply) || !bson_iter_find_descendant(&iter, "cursor.firstBatch.0", &found) ||
        !BSON_ITER_HOLDS_DOCUMENT(&found))
        return 0;
    bson_iter_document(&found, &n, &data);
    if (bson_init_static(&doc, data, n))
        *ret_doc = bson_copy(&doc);
    return 0;
}

/* The lease document with `free` and `age` by the server's clock. */
static int look(struct store_mongo *m, const struct lease_holder *me, bson_t **ret_doc, struct err *err)
{
    static const struct mongo_call call = { "mongo.lease_take.read", "reading the lease", false };
    AUTO_BSON is_free = free_for(me);
    AUTO_BSON command =
        BCON_NEW("aggregate", MONGO_LEASE, "pipeline", "[", "{", "$match", "{", "_id", "writer", "}", "}",
                 "{", "$set", "{", "free", BCON_DOCUMENT(is_free), "age", "{", "$subtract", "[", "$$NOW",
                 "$renewed", "]", "}", "}", "}", "]", "cursor", "{", "}");
    bson_error_t error = { 0 };
    bson_t reply;
    int code = mongo_point(&m->writer, &call, err);

    if (code)
        return code;
    if (mongoc_client_read_command_with_opts(m->writer.client, m->database, command, NULL, NULL, &reply,
                                             &error))
        code = first_of_batch(&reply, ret_doc);
    else
        code = mongo_failed(m, call.doing, &error, err);
    bson_destroy(&reply);
    return code;
}

static bool is_true(const bson_t *doc, const char *key)
{
    bson_iter_t iter;

    return bson_iter_init_find(&iter, doc, key) && bson_iter_as_bool(&iter);
}

static void copy_text(char *to, size_t size, const bson_t *doc, const char *key)
{
    struct slice text = SLICE("");

    if (!mongo_get_text(doc, key, &text))
        text = SLICE("?");
    size_t n = text.n < size ? text.n : size - 1;
    memcpy(to, text.p, n);
    to[n] = '\0';
}

static int refuse(struct store_mongo *m, const bson_t *doc, struct lease_holder *ret_holder, struct err *err)
{
    copy_text(ret_holder->node, sizeof(ret_holder->node), doc, "node");
    copy_text(ret_holder->host, sizeof(ret_holder->host), doc, "host");
    ret_holder->pid = mongo_int(doc, "pid");
    ret_holder->age_ms = mongo_int(doc, "age");
    return err_set(err, ERR_BUSY,
                   "the type database '%s' is held by node %s, process %lld on %s, last seen %lld ms ago",
                   m->database, ret_holder->node, (long long)ret_holder->pid, ret_holder->host,
                   (long long)ret_holder->age_ms);
}

static void append_session_id(struct store_mongo *m, bson_t *set)
{
    bson_iter_t iter;

    if (m->writer.session &&
        bson_iter_init_find(&iter, mongoc_client_session_get_lsid(m->writer.session), "id"))
        bson_append_iter(set, "session", -1, &iter);
}

/* *ret_doc: the document as it is then; NULL: it was not free any more. */
static int take(struct store_mongo *m, const struct lease_holder *me, int64_t ttl_ms, bson_t **ret_doc,
                struct err *err)
{
    static const struct mongo_call call = { "mongo.lease_take.update", "taking the lease", true };
    AUTO_BSON is_free = free_for(me);
    AUTO_BSON set =
        BCON_NEW("token", "{", "$add", "[", "$token", BCON_INT64(1), "]", "}", "node", "{", "$literal",
                 BCON_UTF8(me->node), "}", "host", "{", "$literal", BCON_UTF8(me->host), "}", "pid",
                 BCON_INT64(me->pid), "renewed", "$$NOW", "expires", "{", "$add", "[", "$$NOW",
                 BCON_INT64(ttl_ms), "]", "}", "inherited", "{", "$cond", "[", "{", "$eq", "[", "$node",
                 BCON_NULL, "]", "}", "$inherited", "$attempt", "]", "}", "attempt", BCON_NULL);
    AUTO_BSON reply = NULL;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t n;
    bson_t doc;

    append_session_id(m, set);
    AUTO_BSON command = BCON_NEW("findAndModify", MONGO_LEASE, "query", "{", "_id", "writer", "$expr",
                                 BCON_DOCUMENT(is_free), "}", "update", "[", "{", "$set", BCON_DOCUMENT(set),
                                 "}", "]", "new", BCON_BOOL(true), "maxTimeMS", BCON_INT32(TAKE_LIMIT_MS));
    int code = mongo_write(&m->writer, &call, command, &reply, err);
    if (code)
        return code;
    (void)FAULT_POINT("mongo.lease_take.taken");
    if (bson_iter_init_find(&iter, reply, "value") && BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &n, &data);
        if (bson_init_static(&doc, data, n))
            *ret_doc = bson_copy(&doc);
    }
    return 0;
}

static int try_to_take(struct store_mongo *m, const struct lease_holder *me, int64_t ttl_ms, bson_t **ret_doc,
                       struct lease_holder *ret_holder, struct err *err)
{
    AUTO_BSON seen = NULL;
    bson_iter_t iter;
    int code = look(m, me, &seen, err);

    if (code)
        return code;
    if (!seen)
        return mongo_lease_init(&m->writer, err);
    if (!is_true(seen, "free"))
        return refuse(m, seen, ret_holder, err);
    if (m->transactions && bson_iter_init_find(&iter, seen, "session") && !BSON_ITER_HOLDS_NULL(&iter))
        end_session(m, bson_iter_value(&iter));
    return take(m, me, ttl_ms, ret_doc, err);
}

static int settle_in(struct store_mongo *m, const bson_t *doc, int64_t ttl_ms, uint64_t begin_us,
                     struct err *err)
{
    m->token = mongo_int(doc, "token");
    m->ttl_ms = ttl_ms;
    m->lease_end_us = begin_us + (uint64_t)ttl_ms * 1000;
    int code = mongo_recover(m, doc, m->token, err);
    if (code)
        m->token = 0;
    return code;
}

static int take_locked(struct store_mongo *m, const struct lease_holder *me, int64_t ttl_ms,
                       struct lease_holder *ret_holder, struct err *err)
{
    if (m->base.read_only)
        return err_set(err, ERR_READ_ONLY, "%s", m->base.read_only_reason);
    AUTO_BSON doc = NULL;
    uint64_t begin = 0;
    int code = 0;

    /* again if the document was missing, or taken by somebody in between who is named then */
    for (int tries = 0; tries < 3 && !code && !doc; tries++) {
        begin = clock_us();
        code = try_to_take(m, me, ttl_ms, &doc, ret_holder, err);
    }
    if (code)
        return code;
    if (!doc)
        return err_set(err, ERR_STORE, "type database: the lease cannot be taken");
    m->open_end = (struct mongo_open_end){ 0 };
    return settle_in(m, doc, ttl_ms, begin, err);
}

int mongo_lease_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                     struct lease_holder *ret_holder, struct err *err)
{
    struct store_mongo *m = (struct store_mongo *)store;

    pthread_mutex_lock(&m->write_lock);
    int code = take_locked(m, me, ttl_ms, ret_holder, err);
    if (!code)
        *ret_fence = m->token;
    pthread_mutex_unlock(&m->write_lock);
    return code;
}
