#include "tws/store/store_mongo.h"

#include <math.h>

#include "shared/base/fault.h"

/* clang-format off */
const struct mongo_collection mongo_collections[MONGO_COLLECTION_COUNT] = {
    [MONGO_SCHEMAS] = { "module_type_schema", { "moduleName", "typeName", "version" }, "has that schema already" },
    [MONGO_TYPE_PARSES] = { "module_type_parse", { "moduleName", "typeName", "version" },
                            "has that type parse record already" },
    [MONGO_FUNC_PARSES] = { "module_func_parse", { "moduleName", "funcName", "version" },
                            "has that function parse record already" },
    [MONGO_TYPE_REFS] = { "type_refs", { NULL }, "" },
    [MONGO_FUNC_REFS] = { "func_refs", { NULL }, "" },
    [MONGO_SPECS] = { "module_spec_history", { "moduleName", "versionTime" }, "has that spec already" },
    [MONGO_INFOS] = { "module_info_history", { "moduleName", "versionTime" }, "has that version already" },
    [MONGO_OWNERS] = { "module_owner", { "moduleName", "ownerUserId" }, "has that owner already" },
    [MONGO_MODULES] = { "module_version", { "moduleName" }, "exists already" },
    [MONGO_REQUESTS] = { "module_request", { "moduleName", "ownerUserId" }, "is requested already" },
};
/* clang-format on */

/* ---- records to documents ---- */

void mongo_append_text(bson_t *doc, const char *key, struct slice text)
{
    bson_append_utf8(doc, key, -1, text.n ? text.p : "", (int)text.n);
}

static void append_version(bson_t *doc, const char *key, struct semver version)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%d.%d", version.major, version.minor);

    bson_append_utf8(doc, key, -1, text, n);
}

static bson_t *new_doc(void)
{
    bson_t *doc = bson_new();
    bson_oid_t id;

    bson_oid_init(&id, NULL);
    BSON_APPEND_OID(doc, "_id", &id);
    return doc;
}

bson_t *mongo_owner_doc(const struct rec_owner *rec)
{
    bson_t *doc = new_doc();

    mongo_append_text(doc, "ownerUserId", rec->user);
    BSON_APPEND_BOOL(doc, "withChangeOwnersPrivilege", rec->can_grant);
    mongo_append_text(doc, "moduleName", rec->module);
    return doc;
}

bson_t *mongo_row_doc(enum mongo_collection_id collection, const struct rec_row *rec)
{
    bson_t *doc = new_doc();

    mongo_append_text(doc, "moduleName", rec->module);
    mongo_append_text(doc, mongo_collections[collection].keys[1], rec->name);
    append_version(doc, "version", rec->version);
    BSON_APPEND_INT64(doc, "moduleVersion", rec->module_version);
    mongo_append_text(doc, "document", rec->text);
    if (collection == MONGO_SCHEMAS)
        mongo_append_text(doc, "md5hash", rec->md5);
    else if (collection == MONGO_TYPE_PARSES)
        BSON_APPEND_NULL(doc, "md5hash");
    return doc;
}

bson_t *mongo_edge_doc(const struct rec_edge *rec)
{
    bson_t *doc = new_doc();

    mongo_append_text(doc, "depModule", rec->dep_module);
    mongo_append_text(doc, "depName", rec->dep_name);
    append_version(doc, "depVersion", rec->dep_version);
    BSON_APPEND_INT64(doc, "depModuleVersion", rec->dep_module_version);
    mongo_append_text(doc, "refModule", rec->ref_module);
    mongo_append_text(doc, "refName", rec->ref_name);
    append_version(doc, "refVersion", rec->ref_version);
    return doc;
}

bson_t *mongo_spec_doc(const struct rec_spec *rec)
{
    bson_t *doc = new_doc();

    mongo_append_text(doc, "moduleName", rec->module);
    mongo_append_text(doc, "document", rec->text);
    BSON_APPEND_INT64(doc, "versionTime", rec->version);
    return doc;
}

static void append_entries(bson_t *doc, const char *key, const struct rec_entry *entries, size_t count,
                           const char *name_key, const char *version_key)
{
    bson_t map, entry;

    bson_append_document_begin(doc, key, -1, &map);
    for (size_t i = 0; i < count; i++) {
        const struct rec_entry *e = &entries[i];
        bson_append_document_begin(&map, e->name.p, (int)e->name.n, &entry);
        mongo_append_text(&entry, name_key, e->name);
        append_version(&entry, version_key, e->version);
        BSON_APPEND_BOOL(&entry, "supported", e->supported);
        bson_append_document_end(&map, &entry);
    }
    bson_append_document_end(doc, &map);
}

static void append_text_or_null(bson_t *doc, const char *key, bool null, struct slice text)
{
    if (null)
        BSON_APPEND_NULL(doc, key);
    else
        mongo_append_text(doc, key, text);
}

bson_t *mongo_info_doc(const struct rec_info *rec, bool released)
{
    bson_t *doc = new_doc(), map;

    mongo_append_text(doc, "moduleName", rec->module);
    BSON_APPEND_DOCUMENT_BEGIN(doc, "includedModuleNameToVersion", &map);
    for (size_t i = 0; i < rec->include_count; i++)
        bson_append_int64(&map, rec->includes[i].module.p, (int)rec->includes[i].module.n,
                          rec->includes[i].version);
    bson_append_document_end(doc, &map);
    append_entries(doc, "types", rec->types, rec->type_count, "typeName", "typeVersion");
    append_entries(doc, "funcs", rec->funcs, rec->func_count, "funcName", "funcVersion");
    append_text_or_null(doc, "description", rec->first, rec->description);
    append_text_or_null(doc, "md5hash", rec->first, rec->md5);
    BSON_APPEND_INT64(doc, "versionTime", rec->version);
    append_text_or_null(doc, "uploadUserId", rec->first, rec->user);
    append_text_or_null(doc, "uploadMethod", rec->first, rec->method);
    append_text_or_null(doc, "uploadComment", rec->first, rec->comment);
    BSON_APPEND_BOOL(doc, "released", released);
    return doc;
}

bson_t *mongo_pointers_doc(const struct rec_pointers *rec)
{
    bson_t *doc = new_doc();

    mongo_append_text(doc, "moduleName", rec->module);
    BSON_APPEND_INT64(doc, "versionTime", rec->last);
    BSON_APPEND_INT64(doc, "releasedVersionTime", rec->released);
    BSON_APPEND_BOOL(doc, "supported", rec->supported);
    return doc;
}

/*
 * ---- documents to records: absent or null is the default, a number of any kind with an integral value is a
 * time ----
 */

/* False: absent or null. */
static bool find(const bson_t *doc, const char *key, bson_iter_t *iter)
{
    return bson_iter_init_find(iter, doc, key) && !BSON_ITER_HOLDS_NULL(iter) &&
           bson_iter_type(iter) != BSON_TYPE_UNDEFINED;
}

static bool is_null(const bson_t *doc, const char *key)
{
    bson_iter_t iter;

    return !find(doc, key, &iter);
}

static bool iter_text(const bson_iter_t *iter, struct slice *ret_text)
{
    uint32_t n;

    if (!BSON_ITER_HOLDS_UTF8(iter))
        return false;
    const char *p = bson_iter_utf8(iter, &n);
    *ret_text = slice_of(p, n);
    return true;
}

bool mongo_get_text(const bson_t *doc, const char *key, struct slice *ret_text)
{
    bson_iter_t iter;

    if (find(doc, key, &iter))
        return iter_text(&iter, ret_text);
    *ret_text = SLICE("");
    return true;
}

/* For names: there has to be one. */
static bool get_name(const bson_t *doc, const char *key, struct slice *ret_text)
{
    bson_iter_t iter;

    return find(doc, key, &iter) && iter_text(&iter, ret_text);
}

static bool iter_time(const bson_iter_t *iter, int64_t *ret_time)
{
    if (BSON_ITER_HOLDS_INT32(iter) || BSON_ITER_HOLDS_INT64(iter)) {
        *ret_time = bson_iter_as_int64(iter);
        return true;
    }
    if (!BSON_ITER_HOLDS_DOUBLE(iter))
        return false;
    double value = bson_iter_double(iter);
    if (!(fabs(value) < 9007199254740992.0) || trunc(value) < value || trunc(value) > value)
        return false;
    *ret_time = (int64_t)value;
    return true;
}

static bool get_time(const bson_t *doc, const char *key, int64_t *ret_time)
{
    bson_iter_t iter;

    *ret_time = 0;
    return !find(doc, key, &iter) || iter_time(&iter, ret_time);
}

/* For keys: there has to be one. */
static bool get_key_time(const bson_t *doc, const char *key, int64_t *ret_time)
{
    return !is_null(doc, key) && get_time(doc, key, ret_time);
}

static bool get_bool(const bson_t *doc, const char *key, bool dflt, bool *ret_value)
{
    bson_iter_t iter;

    *ret_value = dflt;
    if (!find(doc, key, &iter))
        return true;
    if (!BSON_ITER_HOLDS_BOOL(&iter))
        return false;
    *ret_value = bson_iter_bool(&iter);
    return true;
}

static bool get_version(const bson_t *doc, const char *key, struct semver *ret_version)
{
    struct slice text;

    return get_name(doc, key, &text) && semver_parse(text, ret_version);
}

/* A map may be absent, but not null. */
static bool get_map(const bson_t *doc, const char *key, bson_iter_t *ret_child, bool *ret_there)
{
    bson_iter_t iter;

    *ret_there = bson_iter_init_find(&iter, doc, key);
    return !*ret_there || (BSON_ITER_HOLDS_DOCUMENT(&iter) && bson_iter_recurse(&iter, ret_child));
}

static size_t count_members(bson_iter_t child)
{
    size_t count = 0;

    while (bson_iter_next(&child))
        count++;
    return count;
}

bool mongo_read_owner(const bson_t *doc, struct rec_owner *ret_rec)
{
    /* null, which a slip of an administrator can leave, reads as "": nobody is called that */
    return get_name(doc, "moduleName", &ret_rec->module) &&
           mongo_get_text(doc, "ownerUserId", &ret_rec->user) &&
           get_bool(doc, "withChangeOwnersPrivilege", false, &ret_rec->can_grant);
}

bool mongo_read_pointers(const bson_t *doc, struct rec_pointers *ret_rec)
{
    return get_name(doc, "moduleName", &ret_rec->module) && get_time(doc, "versionTime", &ret_rec->last) &&
           get_time(doc, "releasedVersionTime", &ret_rec->released) &&
           get_bool(doc, "supported", false, &ret_rec->supported);
}

static struct slice iter_key(const bson_iter_t *iter)
{
    return slice_of(bson_iter_key(iter), bson_iter_key_len(iter));
}

static bool read_includes(const bson_t *doc, struct arena *arena, struct rec_info *rec)
{
    bson_iter_t child;
    bool there;

    if (!get_map(doc, "includedModuleNameToVersion", &child, &there) || !there)
        return !there;
    struct rec_include *includes = arena_zalloc(arena, count_members(child) * sizeof(*includes));
    rec->includes = includes;
    while (bson_iter_next(&child)) {
        struct rec_include *to = &includes[rec->include_count++];
        to->module = iter_key(&child);
        if (!iter_time(&child, &to->version))
            return false;
    }
    return true;
}

static bool read_entry(const bson_iter_t *iter, const char *version_key, struct rec_entry *ret_entry)
{
    const uint8_t *data;
    uint32_t n;
    bson_t doc;

    if (!BSON_ITER_HOLDS_DOCUMENT(iter))
        return false;
    bson_iter_document(iter, &n, &data);
    ret_entry->name = iter_key(iter);
    return bson_init_static(&doc, data, n) && get_version(&doc, version_key, &ret_entry->version) &&
           get_bool(&doc, "supported", true, &ret_entry->supported);
}

static bool read_entries(const bson_t *doc, const char *key, const char *version_key, struct arena *arena,
                         const struct rec_entry **ret_entries, size_t *ret_count)
{
    bson_iter_t child;
    bool there;

    if (!get_map(doc, key, &child, &there) || !there)
        return !there;
    struct rec_entry *entries = arena_zalloc(arena, count_members(child) * sizeof(*entries));
    *ret_entries = entries;
    while (bson_iter_next(&child))
        if (!read_entry(&child, version_key, &entries[(*ret_count)++]))
            return false;
    return true;
}

static bool read_info(const bson_t *doc, struct arena *arena, struct rec_info *rec)
{
    rec->first = is_null(doc, "md5hash");
    return get_name(doc, "moduleName", &rec->module) && get_key_time(doc, "versionTime", &rec->version) &&
           get_bool(doc, "released", false, &rec->released) &&
           mongo_get_text(doc, "description", &rec->description) &&
           mongo_get_text(doc, "md5hash", &rec->md5) && mongo_get_text(doc, "uploadUserId", &rec->user) &&
           mongo_get_text(doc, "uploadMethod", &rec->method) &&
           mongo_get_text(doc, "uploadComment", &rec->comment) && read_includes(doc, arena, rec) &&
           read_entries(doc, "types", "typeVersion", arena, &rec->types, &rec->type_count) &&
           read_entries(doc, "funcs", "funcVersion", arena, &rec->funcs, &rec->func_count);
}

/* ---- loading ---- */

struct loading {
    struct store_mongo *store;
    const struct store_sink *sink;
    enum mongo_collection_id collection;
    int damaged;
};

/* One document that cannot be read does not keep the others from being served. */
static int damaged(struct loading *l, const bson_t *doc, struct err *err)
{
    const char *name = mongo_collections[l->collection].name;
    bool edge = l->collection == MONGO_TYPE_REFS || l->collection == MONGO_FUNC_REFS;
    struct slice module;

    (void)err;
    l->damaged++;
    if (!mongo_get_text(doc, edge ? "depModule" : "moduleName", &module))
        module = SLICE("");
    return l->sink->damage ? l->sink->damage(l->sink->ctx, module, name) : 0;
}

static int load_pointers(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    struct rec_pointers rec = { .last = 0 };

    return mongo_read_pointers(doc, &rec) ? l->sink->pointers(l->sink->ctx, &rec, err) : damaged(l, doc, err);
}

static int load_owner(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    struct rec_owner rec = { .can_grant = false };

    if (!mongo_read_owner(doc, &rec))
        return damaged(l, doc, err);
    return (l->collection == MONGO_OWNERS ? l->sink->owner : l->sink->request)(l->sink->ctx, &rec, err);
}

static int load_info(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    struct arena arena = ARENA_INIT;
    struct rec_info rec = { .first = false };

    int code = read_info(doc, &arena, &rec) ? l->sink->info(l->sink->ctx, &rec, err) : damaged(l, doc, err);
    arena_release(&arena);
    return code;
}

static int load_spec(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    struct rec_spec rec = { .text = SLICE("") };

    if (!get_name(doc, "moduleName", &rec.module) || !get_key_time(doc, "versionTime", &rec.version))
        return damaged(l, doc, err);
    return l->sink->spec(l->sink->ctx, &rec, err);
}

static int load_row(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    const struct store_sink *sink = l->sink;
    struct rec_row rec = { .text = SLICE("") };

    if (!get_name(doc, "moduleName", &rec.module) ||
        !get_name(doc, mongo_collections[l->collection].keys[1], &rec.name) ||
        !get_version(doc, "version", &rec.version) || !get_time(doc, "moduleVersion", &rec.module_version) ||
        !mongo_get_text(doc, "md5hash", &rec.md5))
        return damaged(l, doc, err);
    if (l->collection == MONGO_SCHEMAS)
        return sink->schema(sink->ctx, &rec, err);
    return (l->collection == MONGO_TYPE_PARSES ? sink->type_parse : sink->func_parse)(sink->ctx, &rec, err);
}

static int load_edge(void *ctx, const bson_t *doc, struct err *err)
{
    struct loading *l = ctx;
    struct rec_edge rec = { .dep_module_version = 0 };

    if (!get_name(doc, "depModule", &rec.dep_module) || !get_name(doc, "depName", &rec.dep_name) ||
        !get_version(doc, "depVersion", &rec.dep_version) ||
        !get_time(doc, "depModuleVersion", &rec.dep_module_version) ||
        !get_name(doc, "refModule", &rec.ref_module) || !get_name(doc, "refName", &rec.ref_name) ||
        !get_version(doc, "refVersion", &rec.ref_version))
        return damaged(l, doc, err);
    return (l->collection == MONGO_TYPE_REFS ? l->sink->type_ref : l->sink->func_ref)(l->sink->ctx, &rec,
                                                                                      err);
}

static const struct load_step {
    enum mongo_collection_id collection;
    mongo_each_fn *each;
    const char *sort[2]; /* NULL: as it comes */
    bool natural;        /* in the order of insertion */
    const char *point;
} load_steps[] = {
    { MONGO_MODULES, load_pointers, { NULL }, false, "mongo.load.modules" },
    { MONGO_OWNERS, load_owner, { NULL }, false, "mongo.load.owners" },
    { MONGO_REQUESTS, load_owner, { NULL }, true, "mongo.load.requests" },
    { MONGO_INFOS, load_info, { "moduleName", "versionTime" }, false, "mongo.load.infos" },
    { MONGO_SPECS, load_spec, { "moduleName", "versionTime" }, false, "mongo.load.specs" },
    { MONGO_SCHEMAS, load_row, { NULL }, false, "mongo.load.schemas" },
    { MONGO_TYPE_PARSES, load_row, { NULL }, false, "mongo.load.type_parses" },
    { MONGO_FUNC_PARSES, load_row, { NULL }, false, "mongo.load.func_parses" },
    { MONGO_TYPE_REFS, load_edge, { NULL }, false, "mongo.load.type_refs" },
    { MONGO_FUNC_REFS, load_edge, { NULL }, false, "mongo.load.func_refs" },
};

static int load_collection(struct mongo_conn *conn, const struct load_step *step, struct loading *l,
                           struct err *err)
{
    const struct mongo_call call = { step->point, "loading", false };
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("projection", "{", "document", BCON_INT32(0), "}");
    bson_t sort;

    if (step->sort[0] || step->natural) {
        BSON_APPEND_DOCUMENT_BEGIN(opts, "sort", &sort);
        for (size_t i = 0; i < ARRAY_LEN(step->sort) && step->sort[i]; i++)
            BSON_APPEND_INT32(&sort, step->sort[i], 1);
        if (step->natural)
            BSON_APPEND_INT32(&sort, "$natural", 1);
        bson_append_document_end(opts, &sort);
    }
    l->collection = step->collection;
    int code =
        mongo_find(conn, &call, mongo_collections[step->collection].name, &filter, opts, step->each, l, err);
    bson_destroy(opts);
    bson_destroy(&filter);
    return code;
}

/* Others may write meanwhile; a server that cannot hold a state for us shows each collection as it is by
 * then. */
static int use_snapshot(struct mongo_conn *conn, struct err *err)
{
    mongoc_session_opt_t *opts = mongoc_session_opts_new();
    bson_error_t error = { 0 };

    mongoc_session_opts_set_causal_consistency(opts, false);
    mongoc_session_opts_set_snapshot(opts, true);
    conn->session = mongoc_client_start_session(conn->client, opts, &error);
    conn->snapshot = true;
    mongoc_session_opts_destroy(opts);
    return conn->session ? 0 : mongo_failed(conn->store, "loading", &error, err);
}

int mongo_load(struct store *store, const struct store_sink *sink, struct err *err)
{
    struct store_mongo *m = (struct store_mongo *)store;
    struct loading l = { .store = m, .sink = sink };
    int code = 0;

    /* with the lock, so that no commit of this process is half visible on a stand-alone server */
    pthread_mutex_lock(&m->write_lock);
    AUTO(mongo_conn_close_auto) struct mongo_conn conn;
    mongo_conn_open(m, &conn);
    if (m->snapshots)
        code = use_snapshot(&conn, err);
    for (size_t i = 0; i < ARRAY_LEN(load_steps) && !code; i++)
        code = load_collection(&conn, &load_steps[i], &l, err);
    if (!code) {
        atomic_store(&m->damaged, l.damaged);
        m->base.outdated = false;
    }
    pthread_mutex_unlock(&m->write_lock);
    return code;
}

/* ---- texts ---- */

static const enum mongo_collection_id text_collections[] = {
    [TEXT_SPEC] = MONGO_SPECS,
    [TEXT_SCHEMA] = MONGO_SCHEMAS,
    [TEXT_TYPE_PARSE] = MONGO_TYPE_PARSES,
    [TEXT_FUNC_PARSE] = MONGO_FUNC_PARSES,
};

static int take_text(const bson_t *doc, struct sbuf *ret_text, struct err *err)
{
    struct slice text;

    if (!get_name(doc, "document", &text))
        return err_set(err, ERR_STORE, "type database: a record without its text");
    sbuf_add_slice(ret_text, text);
    return ret_text->failed ? err_set(err, ERR_STORE, "a text of the type database is too large") : 1;
}

int mongo_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text, struct err *err)
{
    static const struct mongo_call call = { "mongo.read_text", "reading a text", false };
    struct store_mongo *m = (struct store_mongo *)store;
    const struct mongo_collection *in = &mongo_collections[text_collections[key->kind]];
    AUTO_BSON opts = BCON_NEW("projection", "{", "document", BCON_INT32(1), "_id", BCON_INT32(0), "}");
    AUTO_BSON filter = bson_new();
    AUTO_BSON doc = NULL;
    AUTO(mongo_conn_close_auto) struct mongo_conn conn;

    mongo_append_text(filter, "moduleName", key->module);
    if (key->kind == TEXT_SPEC) {
        BSON_APPEND_INT64(filter, "versionTime", key->module_version);
    } else {
        mongo_append_text(filter, in->keys[1], key->name);
        append_version(filter, "version", key->version);
    }
    mongo_conn_open(m, &conn);
    int code = mongo_find_one(&conn, &call, in->name, filter, opts, &doc, err);
    if (code)
        return code;
    return doc ? take_text(doc, ret_text, err) : 0;
}
