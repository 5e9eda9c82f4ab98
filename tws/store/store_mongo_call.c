#include "tws/store/store_mongo.h"

#include "shared/base/fault.h"

void mongo_conn_open(struct store_mongo *m, struct mongo_conn *ret_conn)
{
    *ret_conn = (struct mongo_conn){ .store = m, .client = mongoc_client_pool_pop(m->pool) };
}

void mongo_conn_close(struct mongo_conn *conn)
{
    if (conn->session)
        mongoc_client_session_destroy(conn->session);
    if (conn->client)
        mongoc_client_pool_push(conn->store->pool, conn->client);
    *conn = (struct mongo_conn){ .store = conn->store };
}

int64_t mongo_int(const bson_t *doc, const char *path)
{
    bson_iter_t iter, found;

    if (!bson_iter_init(&iter, doc) || !bson_iter_find_descendant(&iter, path, &found))
        return 0;
    return BSON_ITER_HOLDS_NUMBER(&found) ? bson_iter_as_int64(&found) : 0;
}

/* The driver does not put passwords into its texts; should a server do so, it goes no further. */
static void put_without_secrets(const struct store_mongo *m, const char *text, struct sbuf *sb)
{
    size_t n = m->password ? strlen(m->password) : 0;
    const char *found;

    while (n && (found = strstr(text, m->password))) {
        sbuf_add(sb, text, (size_t)(found - text));
        sbuf_adds(sb, "***");
        text = found + n;
    }
    sbuf_adds(sb, text);
}

int mongo_failed(struct store_mongo *m, const char *doing, const bson_error_t *error, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    enum err_code code = ERR_STORE;

    if (m->ready)
        sbuf_addf(&text, "type database: %s: ", doing);
    else
        sbuf_addf(&text, "type database '%s' on %s: %s: ", m->database, m->hosts, doing);
    put_without_secrets(m, error->message, &text);
    if (error->domain == MONGOC_ERROR_SERVER && error->code == SERVER_UNAUTHORIZED)
        code = ERR_READ_ONLY;
    return err_set_text(err, code, sbuf_slice(&text));
}

int mongo_point(struct mongo_conn *conn, const struct mongo_call *call, struct err *err)
{
    conn->code = 0;
    conn->transient = conn->unknown = false;
    if (!FAULT_POINT(call->point))
        return 0;
    return err_set(err, ERR_STORE, "type database: %s: fault point %s", call->doing, call->point);
}

static void append_session(struct mongo_conn *conn, bson_t *opts)
{
    if (conn->session)
        (void)mongoc_client_session_append(conn->session, opts, NULL);
}

static void append_write_concern(const struct mongo_conn *conn, bool journaled, bson_t *opts)
{
    bson_t concern;

    if (conn->in_transaction)
        return;
    BSON_APPEND_DOCUMENT_BEGIN(opts, "writeConcern", &concern);
    BSON_APPEND_UTF8(&concern, "w", "majority");
    BSON_APPEND_INT32(&concern, "wtimeout", MONGO_WRITE_TIMEOUT_MS);
    if (journaled && !conn->store->transactions)
        BSON_APPEND_BOOL(&concern, "j", true);
    bson_append_document_end(opts, &concern);
}

/* A command that went through may still say that one of its writes did not. */
static bool take_write_error(const bson_t *reply, bson_error_t *error)
{
    bson_iter_t iter, found;

    if (!bson_iter_init(&iter, reply) || !bson_iter_find_descendant(&iter, "writeErrors.0.code", &found))
        return false;
    error->domain = MONGOC_ERROR_SERVER;
    error->code = (uint32_t)bson_iter_as_int64(&found);
    const char *text = "";
    if (bson_iter_init(&iter, reply) && bson_iter_find_descendant(&iter, "writeErrors.0.errmsg", &found) &&
        BSON_ITER_HOLDS_UTF8(&found))
        text = bson_iter_utf8(&found, NULL);
    bson_set_error(error, error->domain, error->code, "%s", text);
    return true;
}

static void note_failure(struct mongo_conn *conn, const bson_t *reply, const bson_error_t *error)
{
    conn->code = error->domain == MONGOC_ERROR_SERVER ? error->code : 0;
    conn->transient = mongoc_error_has_label(reply, "TransientTransactionError");
    conn->unknown = conn->code == 0;
}

int mongo_write(struct mongo_conn *conn, const struct mongo_call *call, const bson_t *command,
                bson_t **ret_reply, struct err *err)
{
    struct store_mongo *m = conn->store;
    bson_error_t error = { 0 };
    bson_t opts = BSON_INITIALIZER, reply;
    int code = mongo_point(conn, call, err);

    if (code)
        return code;
    append_session(conn, &opts);
    append_write_concern(conn, call->journaled, &opts);
    bool ok =
        mongoc_client_write_command_with_opts(conn->client, m->database, command, &opts, &reply, &error);
    if (!ok || take_write_error(&reply, &error)) {
        note_failure(conn, &reply, &error);
        code = mongo_failed(m, call->doing, &error, err);
    } else if (ret_reply) {
        *ret_reply = bson_copy(&reply);
    }
    bson_destroy(&opts);
    bson_destroy(&reply);
    return code;
}

void mongo_admin(struct mongo_conn *conn, const bson_t *command)
{
    (void)mongoc_client_command_simple(conn->client, "admin", command, NULL, NULL, NULL);
}

/* ---- reading ---- */

static void make_read_opts(struct mongo_conn *conn, const bson_t *from, bson_t *opts)
{
    bson_t concern;

    if (from)
        bson_concat(opts, from);
    append_session(conn, opts);
    if (conn->in_transaction || conn->snapshot || !conn->store->transactions)
        return;
    BSON_APPEND_DOCUMENT_BEGIN(opts, "readConcern", &concern);
    BSON_APPEND_UTF8(&concern, "level", "majority");
    bson_append_document_end(opts, &concern);
}

int mongo_find(struct mongo_conn *conn, const struct mongo_call *call, const char *collection,
               const bson_t *filter, const bson_t *opts, mongo_each_fn *each, void *ctx, struct err *err)
{
    struct store_mongo *m = conn->store;
    bson_t own_opts = BSON_INITIALIZER;
    const bson_t *doc, *reply;
    bson_error_t error;
    int code = mongo_point(conn, call, err);

    if (code)
        return code;
    make_read_opts(conn, opts, &own_opts);
    mongoc_collection_t *in = mongoc_client_get_collection(conn->client, m->database, collection);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(in, filter, &own_opts, NULL);
    while (!code && mongoc_cursor_next(cursor, &doc))
        code = each(ctx, doc, err);
    if (!code && mongoc_cursor_error_document(cursor, &error, &reply)) {
        note_failure(conn, reply, &error);
        code = mongo_failed(m, call->doing, &error, err);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(in);
    bson_destroy(&own_opts);
    return code;
}

static int keep_first(void *ctx, const bson_t *doc, struct err *err)
{
    bson_t **ret_doc = ctx;

    (void)err;
    if (!*ret_doc)
        *ret_doc = bson_copy(doc);
    return 0;
}

int mongo_find_one(struct mongo_conn *conn, const struct mongo_call *call, const char *collection,
                   const bson_t *filter, const bson_t *opts, bson_t **ret_doc, struct err *err)
{
    bson_t own_opts = BSON_INITIALIZER;
    bson_t *doc = NULL;

    if (opts)
        bson_concat(&own_opts, opts);
    BSON_APPEND_INT64(&own_opts, "limit", 1);
    int code = mongo_find(conn, call, collection, filter, &own_opts, keep_first, &doc, err);
    bson_destroy(&own_opts);
    if (code) {
        bson_destroy(doc);
        return code;
    }
    *ret_doc = doc;
    return 0;
}
