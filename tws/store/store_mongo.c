#include "tws/store/store_mongo.h"

#include <assert.h>
#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { START_PAUSE_US = 500000, OLDEST_WIRE_VERSION = 8 /* MongoDB 4.2 */, SNAPSHOT_WIRE_VERSION = 13 };

static const char indexes[] =
#include "generated/mongo_indexes.json.h"
    ;

/* ---- the driver ---- */

static void log_driver(mongoc_log_level_t level, const char *domain, const char *text, void *ctx)
{
    (void)ctx;
    /* calls report what they need to; the rest is for whoever looks for it */
    if (level <= MONGOC_LOG_LEVEL_WARNING)
        log_message(LOG_LEVEL_DEBUG, "store.driver", "%s: %s", domain, text);
}

/* The library makes a file for its counters when it is loaded; it would outlive a process that is killed. */
static void __attribute__((constructor)) unlink_counters(void)
{
    AUTO(free_str_auto) char *name = xasprintf("/mongoc-%d", (int)getpid());

    (void)shm_unlink(name);
}

static void init_driver(void)
{
    mongoc_init();
    mongoc_log_set_handler(log_driver, NULL);
}

/* ---- where the server is ---- */

static bool is_uri(const char *host)
{
    return strncmp(host, "mongodb://", 10) == 0 || strncmp(host, "mongodb+srv://", 14) == 0;
}

static int parse_host(const char *host, mongoc_uri_t **ret_uri, struct err *err)
{
    AUTO(free_str_auto) char *text = is_uri(host) ? xstrdup(host) : xasprintf("mongodb://%s/", host);
    bson_error_t error = { 0 };

    if (!is_uri(host) && strpbrk(host, "@/?&% "))
        return err_set(
            err, ERR_CONFIG,
            "mongodb-host: '%s' is neither host[:port], nor a comma list of them, nor a mongodb:// URI",
            strchr(host, '@') ? "..." : host);
    *ret_uri = mongoc_uri_new_with_error(text, &error);
    /* the driver's text may quote the URI and a password in it */
    if (!*ret_uri)
        return err_set(err, ERR_CONFIG, "mongodb-host: %s",
                       is_uri(host) ? "the URI is malformed" : error.message);
    return 0;
}

static void set_time(mongoc_uri_t *uri, const char *option, int64_t us)
{
    if (us > 0 && !mongoc_uri_has_option(uri, option))
        (void)mongoc_uri_set_option_as_int32(uri, option, (int32_t)((us + 999) / 1000));
}

static void set_options(mongoc_uri_t *uri, const struct store_mongo_options *o)
{
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);

    if (o->user) {
        (void)mongoc_uri_set_username(uri, o->user);
        (void)mongoc_uri_set_password(uri, o->password ? o->password : "");
        (void)mongoc_uri_set_auth_source(uri, o->database);
    }
    set_time(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, o->server_selection_us);
    set_time(uri, MONGOC_URI_CONNECTTIMEOUTMS, o->connect_us);
    set_time(uri, MONGOC_URI_SOCKETTIMEOUTMS, o->socket_us);
    (void)mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, o->retry_writes);
    mongoc_uri_set_read_prefs_t(uri, primary);
    mongoc_read_prefs_destroy(primary);
    if (!mongoc_uri_get_appname(uri))
        (void)mongoc_uri_set_appname(uri, "wstyped");
}

static char *hosts_of(const mongoc_uri_t *uri)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri); h; h = h->next)
        sbuf_addf(&text, "%s%s", text.len ? "," : "", h->host_and_port);
    if (!text.len)
        sbuf_adds(&text, "the servers of the URI");
    return sbuf_take(&text, NULL);
}

static int make_pool(struct store_mongo *m, const struct store_mongo_options *o, struct err *err)
{
    mongoc_uri_t *uri = NULL;
    bson_error_t error = { 0 };
    int code = parse_host(o->host, &uri, err);

    if (code)
        return code;
    set_options(uri, o);
    m->hosts = hosts_of(uri);
    if (mongoc_uri_get_password(uri) && mongoc_uri_get_password(uri)[0])
        m->password = xstrdup(mongoc_uri_get_password(uri));
    m->pool = mongoc_client_pool_new_with_error(uri, &error);
    mongoc_uri_destroy(uri);
    if (!m->pool)
        return mongo_failed(m, "opening", &error, err);
    (void)mongoc_client_pool_set_error_api(m->pool, MONGOC_ERROR_API_VERSION_2);
    return 0;
}

/* ---- what the server is ---- */

static bool has_text(const bson_t *doc, const char *key, const char *value)
{
    struct slice text;

    return mongo_get_text(doc, key, &text) && text.n && (!value || slice_is(text, value));
}

static int note_kind(struct store_mongo *m, const mongoc_server_description_t *server, struct err *err)
{
    const bson_t *hello = mongoc_server_description_hello_response(server);
    bool sharded = has_text(hello, "msg", "isdbgrid"), set = has_text(hello, "setName", NULL);

    m->transactions = sharded || set;
    m->snapshots = m->transactions && mongo_int(hello, "maxWireVersion") >= SNAPSHOT_WIRE_VERSION;
    m->deployment = sharded ? "sharded cluster" : set ? "replica set" : "stand-alone";
    if (mongo_int(hello, "maxWireVersion") < OLDEST_WIRE_VERSION)
        return err_set(err, ERR_STORE, "type database '%s' on %s: the server is older than MongoDB 4.2",
                       m->database, m->hosts);
    return 0;
}

static int read_version(struct store_mongo *m, struct err *err)
{
    AUTO_BSON command = BCON_NEW("buildInfo", BCON_INT32(1));
    bson_error_t error = { 0 };
    struct slice text = SLICE("");
    bson_t reply;

    bool ok = mongoc_client_command_simple(m->writer.client, m->database, command, NULL, &reply, &error);
    if (ok && mongo_get_text(&reply, "version", &text) && text.n < sizeof(m->version))
        memcpy(m->version, text.p, text.n);
    bson_destroy(&reply);
    return ok ? 0 : mongo_failed(m, "connecting", &error, err);
}

static int connect_once(struct store_mongo *m, bson_error_t *error)
{
    mongoc_server_description_t *server = mongoc_client_select_server(m->writer.client, true, NULL, error);

    if (!server)
        return -ERR_AGAIN;
    AUTO_ERR(why);
    int code = note_kind(m, server, &why);
    if (code)
        bson_set_error(error, MONGOC_ERROR_CLIENT, 1, "%s", err_text(&why));
    mongoc_server_description_destroy(server);
    return code;
}

static int connect_server(struct store_mongo *m, int64_t limit_us, struct err *err)
{
    uint64_t deadline = clock_us() + (uint64_t)limit_us;
    bson_error_t error = { 0 };
    int code;

    while ((code = connect_once(m, &error)) == -ERR_AGAIN && clock_us() + START_PAUSE_US < deadline)
        usleep(START_PAUSE_US);
    return code ? mongo_failed(m, "connecting", &error, err) : read_version(m, err);
}

static int start_session(struct store_mongo *m, struct err *err)
{
    mongoc_session_opt_t *opts = mongoc_session_opts_new();
    mongoc_transaction_opt_t *txn = mongoc_transaction_opts_new();
    mongoc_read_concern_t *read = mongoc_read_concern_new();
    mongoc_write_concern_t *write = mongoc_write_concern_new();
    bson_error_t error = { 0 };

    mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
    mongoc_write_concern_set_wmajority(write, MONGO_WRITE_TIMEOUT_MS);
    mongoc_transaction_opts_set_read_concern(txn, read);
    mongoc_transaction_opts_set_write_concern(txn, write);
    mongoc_session_opts_set_default_transaction_opts(opts, txn);
    mongoc_session_opts_set_causal_consistency(opts, false);
    m->writer.session = mongoc_client_start_session(m->writer.client, opts, &error);
    mongoc_write_concern_destroy(write);
    mongoc_read_concern_destroy(read);
    mongoc_transaction_opts_destroy(txn);
    mongoc_session_opts_destroy(opts);
    return m->writer.session ? 0 : mongo_failed(m, "starting a session", &error, err);
}

/* ---- collections and indexes ---- */

static char *index_name(const json_t *index)
{
    AUTO_SBUF(name, SBUF_NO_LIMIT);
    size_t i;
    json_t *key;

    json_array_foreach (json_object_get(index, "keys"), i, key) {
        sbuf_addf(&name, "%s%s_1", i ? "_" : "", json_string_value(key));
    }
    return sbuf_take(&name, NULL);
}

static void append_index(bson_t *list, size_t at, const json_t *index)
{
    AUTO(free_str_auto) char *name = index_name(index);
    bson_t item, keys;
    char buf[16];
    const char *number;
    size_t i;
    json_t *key;

    size_t n = bson_uint32_to_string((uint32_t)at, &number, buf, sizeof(buf));
    bson_append_document_begin(list, number, (int)n, &item);
    BSON_APPEND_DOCUMENT_BEGIN(&item, "key", &keys);
    json_array_foreach (json_object_get(index, "keys"), i, key)
        BSON_APPEND_INT32(&keys, json_string_value(key), 1);
    bson_append_document_end(&item, &keys);
    BSON_APPEND_UTF8(&item, "name", name);
    if (json_is_true(json_object_get(index, "unique")))
        BSON_APPEND_BOOL(&item, "unique", true);
    bson_append_document_end(list, &item);
}

/* A database that somebody has damaged, so that an index cannot be unique, is still worth being read. */
static int index_failed(struct store_mongo *m, struct err *why, struct err *err)
{
    uint32_t code = m->writer.code;

    if (code != SERVER_DUPLICATE_KEY && code != SERVER_INDEX_OPTIONS_CONFLICT &&
        code != SERVER_INDEX_KEY_SPECS_CONFLICT)
        return err_move(err, why);
    free(m->index_problem);
    m->index_problem = xstrdup(err_text(why));
    return 0;
}

static int make_collection(struct store_mongo *m, const json_t *collection, struct err *err)
{
    static const struct mongo_call create_call = { "mongo.open.create", "making a collection", false };
    static const struct mongo_call index_call = { "mongo.open.index", "making an index", false };
    const char *name = json_string_value(json_object_get(collection, "name"));
    AUTO_BSON create = BCON_NEW("create", BCON_UTF8(name));
    AUTO_BSON command = BCON_NEW("createIndexes", BCON_UTF8(name));
    AUTO_ERR(why);
    size_t i;
    json_t *index;
    bson_t list;

    if (mongo_write(&m->writer, &create_call, create, NULL, &why)) {
        if (m->writer.code != SERVER_NAMESPACE_EXISTS)
            return err_move(err, &why);
        err_clear(&why);
    }
    BSON_APPEND_ARRAY_BEGIN(command, "indexes", &list);
    json_array_foreach (json_object_get(collection, "indexes"), i, index) {
        append_index(&list, i, index);
    }
    bson_append_array_end(command, &list);
    if (i && mongo_write(&m->writer, &index_call, command, NULL, &why))
        return index_failed(m, &why, err);
    return 0;
}

static int make_collections(struct store_mongo *m, struct err *err)
{
    json_t *doc = json_loads(indexes, 0, NULL), *collection;
    size_t i;
    int code = 0;

    json_array_foreach (json_object_get(doc, "collections"), i, collection) {
        code = make_collection(m, collection, err);
        if (code)
            break;
    }
    json_decref(doc);
    return code;
}

static int each_index_of(const json_t *collection, mongo_index_fn *each, void *ctx, struct err *err)
{
    const char *in = json_string_value(json_object_get(collection, "name"));
    size_t i;
    json_t *index;
    int code = 0;

    json_array_foreach (json_object_get(collection, "indexes"), i, index) {
        AUTO(free_str_auto) char *name = index_name(index);
        code = code ? code : each(ctx, in, name, err);
    }
    return code;
}

int mongo_each_index(mongo_index_fn *each, void *ctx, struct err *err)
{
    json_t *doc = json_loads(indexes, 0, NULL), *collection;
    size_t i;
    int code = 0;

    json_array_foreach (json_object_get(doc, "collections"), i, collection) {
        code = code ? code : each_index_of(collection, each, ctx, err);
    }
    json_decref(doc);
    return code;
}

/* ---- own data ---- */

static int make_meta(struct store_mongo *m, struct err *err)
{
    static const struct mongo_call call = { "mongo.open.meta", "naming the database", true };
    char id[RANDOM_ID_HEX + 1];
    AUTO_ERR(why);

    random_id(id);
    AUTO_BSON command = BCON_NEW("insert", MONGO_META, "documents", "[", "{", "_id", "database", "cluster_id",
                                 BCON_UTF8(id), "schema_version", BCON_INT32(MONGO_SCHEMA_VERSION), "}", "]");
    int code = mongo_write(&m->writer, &call, command, NULL, &why);
    return code && m->writer.code != SERVER_DUPLICATE_KEY ? err_move(err, &why) : 0;
}

static int find_meta(struct store_mongo *m, bson_t **ret_doc, struct err *err)
{
    static const struct mongo_call call = { "mongo.open.read_meta", "reading the name of the database",
                                            false };
    AUTO_BSON filter = BCON_NEW("_id", "database");

    return mongo_find_one(&m->writer, &call, MONGO_META, filter, NULL, ret_doc, err);
}

/* Where nothing may be written, a database without a name gets one that follows from where it is. */
static int read_meta(struct store_mongo *m, struct err *err)
{
    AUTO_BSON doc = NULL;
    struct slice id;
    int code = find_meta(m, &doc, err);

    if (code)
        return code;
    if (!doc) {
        AUTO(free_str_auto) char *where = xasprintf("%s/%s", m->hosts, m->database);
        md5_hex(slice_str(where), m->cluster_id);
        return 0;
    }
    if (mongo_int(doc, "schema_version") > MONGO_SCHEMA_VERSION)
        return err_set(
            err, ERR_STORE,
            "the type database '%s' has schema version %lld; this version of wstyped knows those up to %d",
            m->database, (long long)mongo_int(doc, "schema_version"), MONGO_SCHEMA_VERSION);
    if (!mongo_get_text(doc, "cluster_id", &id) || id.n != RANDOM_ID_HEX)
        return err_set(err, ERR_STORE, "type database '%s': the document in %s cannot be read", m->database,
                       MONGO_META);
    memcpy(m->cluster_id, id.p, RANDOM_ID_HEX);
    return 0;
}

static int write_what_is_missing(struct store_mongo *m, struct err *err)
{
    int code = make_collections(m, err);

    if (!code)
        code = make_meta(m, err);
    return code ? code : mongo_lease_init(&m->writer, err);
}

static int prepare(struct store_mongo *m, enum store_access access, struct err *err)
{
    bool read_only = access != STORE_WRITE;
    AUTO_ERR(why);
    int code = read_only ? -ERR_READ_ONLY : write_what_is_missing(m, &why);

    if (code == -ERR_READ_ONLY) {
        m->base.read_only = true;
        m->base.read_only_reason =
            xstrdup(read_only ? "the type database is opened for reading only" : err_text(&why));
    } else if (code) {
        return err_move(err, &why);
    }
    return read_meta(m, err);
}

/* ---- the vtable ---- */

static int mongo_cluster_id(struct store *store, char ret_id[RANDOM_ID_HEX + 1], struct err *err)
{
    (void)err;
    memcpy(ret_id, ((struct store_mongo *)store)->cluster_id, RANDOM_ID_HEX + 1);
    return 0;
}

static void put_member(struct sbuf *json, const char *key, const char *value)
{
    json_t *text = json_string(value);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY);

    sbuf_addf(json, ",\"%s\":%s", key, quoted ? quoted : "null");
    free(quoted);
    json_decref(text);
}

/* The lock may be held for long by a commit; then what it guards is left out. */
static void put_lease(struct store_mongo *m, struct sbuf *json)
{
    if (pthread_mutex_trylock(&m->write_lock) != 0)
        return;
    uint64_t now = clock_us();
    if (m->token)
        sbuf_addf(json, ",\"lease\":{\"token\":%lld,\"ttl_ms\":%lld,\"left_ms\":%lld}", (long long)m->token,
                  (long long)m->ttl_ms,
                  m->lease_end_us > now ? (long long)(m->lease_end_us - now) / 1000 : 0LL);
    if (m->open_end.unresolved || m->open_end.unapplied)
        sbuf_addf(json, ",\"open_commit\":\"%s\"",
                  m->open_end.unresolved ? "outcome unknown" : "not finished");
    pthread_mutex_unlock(&m->write_lock);
}

static void mongo_status(struct store *store, struct sbuf *json)
{
    struct store_mongo *m = (struct store_mongo *)store;

    put_member(json, "database", m->database);
    put_member(json, "hosts", m->hosts);
    put_member(json, "deployment", m->deployment);
    put_member(json, "server_version", m->version);
    put_member(json, "protocol", m->transactions ? "transactions" : "intent log");
    sbuf_addf(json, ",\"schema_version\":%d,\"damaged_records\":%d", MONGO_SCHEMA_VERSION,
              atomic_load(&m->damaged));
    if (m->index_problem)
        put_member(json, "index_problem", m->index_problem);
    put_lease(m, json);
}

static void mongo_close(struct store *store)
{
    struct store_mongo *m = (struct store_mongo *)store;

    if (m->pool) {
        mongo_conn_close(&m->writer);
        mongoc_client_pool_destroy(m->pool);
    }
    pthread_mutex_destroy(&m->write_lock);
    free(m->index_problem);
    free(m->base.read_only_reason);
    free(m->password);
    free(m->hosts);
    free(m->database);
    free(m);
}

static const struct store_ops mongo_ops = {
    .name = "mongodb",
    .version = NULL,
    .close = mongo_close,
    .cluster_id = mongo_cluster_id,
    .load = mongo_load,
    .read_text = mongo_read_text,
    .commit = mongo_commit,
    .lease_take = mongo_lease_take,
    .lease_renew = mongo_lease_renew,
    .lease_give_up = mongo_lease_give_up,
    .check = mongo_check,
    .status = mongo_status,
};

static int open_all(struct store_mongo *m, const struct store_mongo_options *options, struct err *err)
{
    int code = make_pool(m, options, err);

    if (code)
        return code;
    mongo_conn_open(m, &m->writer);
    code = connect_server(m, options->start_us, err);
    if (!code)
        code = prepare(m, options->access, err);
    return !code && m->transactions ? start_session(m, err) : code;
}

int store_mongo_open(const struct store_mongo_options *options, struct store **ret_store, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    assert(options->host && options->database);
    pthread_once(&once, init_driver);
    struct store_mongo *m = xcalloc(1, sizeof(*m));
    m->base.ops = &mongo_ops;
    m->database = xstrdup(options->database);
    pthread_mutex_init(&m->write_lock, NULL);
    int code = open_all(m, options, err);
    if (code) {
        mongo_close(&m->base);
        return code;
    }
    m->ready = true;
    *ret_store = &m->base;
    return 0;
}
