#include "tws/store/store_mongo.h"

/* Times that are no int64, which upstream refuses in some places and which nobody writes on purpose. */
static const struct time_field {
    enum mongo_collection_id collection;
    const char *field;
} time_fields[] = {
    { MONGO_MODULES, "versionTime" },        { MONGO_MODULES, "releasedVersionTime" },
    { MONGO_INFOS, "versionTime" },          { MONGO_SPECS, "versionTime" },
    { MONGO_SCHEMAS, "moduleVersion" },      { MONGO_TYPE_PARSES, "moduleVersion" },
    { MONGO_FUNC_PARSES, "moduleVersion" },  { MONGO_TYPE_REFS, "depModuleVersion" },
    { MONGO_FUNC_REFS, "depModuleVersion" },
};

struct checking {
    struct store_mongo *m;
    const struct store_check *check;
};

static void found(const struct checking *c, const char *kind, struct slice module, const char *what,
                  bool mendable, bool mended)
{
    c->check->found(c->check->ctx, kind, module, what, mendable, mended);
}

/* ---- indexes ---- */

static bool has_index(mongoc_collection_t *in, const char *name, bool *ret_failed, bson_error_t *error)
{
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(in, NULL);
    struct slice text;
    const bson_t *doc;
    bool has = false;

    while (!has && mongoc_cursor_next(cursor, &doc))
        has = mongo_get_text(doc, "name", &text) && slice_is(text, name);
    *ret_failed = mongoc_cursor_error(cursor, error);
    mongoc_cursor_destroy(cursor);
    return has;
}

/* Opening for writing makes what is missing, so what still is cannot be made: there are equal keys. */
static int check_index(void *ctx, const char *collection, const char *index, struct err *err)
{
    struct checking *c = ctx;
    mongoc_collection_t *in = mongoc_client_get_collection(c->m->writer.client, c->m->database, collection);
    bson_error_t error = { 0 };
    bool failed;

    bool has = has_index(in, index, &failed, &error);
    mongoc_collection_destroy(in);
    if (failed)
        return mongo_failed(c->m, "listing indexes", &error, err);
    if (!has) {
        AUTO(free_str_auto) char *what = xasprintf("%s: %s", collection, index);
        found(c, "missing_index", SLICE(""), what, c->m->base.read_only, false);
    }
    return 0;
}

/* ---- times ---- */

static bson_t *odd_times(const char *field)
{
    return BCON_NEW("$expr", "{", "$cond", "[", "{", "$in", "[", "{", "$type", BCON_UTF8(field), "}", "[",
                    "int", "double", "]", "]", "}", "{", "$eq", "[", BCON_UTF8(field), "{", "$trunc",
                    BCON_UTF8(field), "}", "]", "}", BCON_BOOL(false), "]", "}");
}

static int rewrite_times(struct store_mongo *m, const char *collection, const char *field,
                         const bson_t *filter, struct err *err)
{
    static const struct mongo_call call = { "mongo.check.times", "rewriting times", true };
    AUTO(free_str_auto) char *value = xasprintf("$%s", field);
    AUTO_BSON command = BCON_NEW("update", BCON_UTF8(collection), "updates", "[", "{", "q",
                                 BCON_DOCUMENT(filter), "u", "[", "{", "$set", "{", field, "{", "$toLong",
                                 BCON_UTF8(value), "}", "}", "}", "]", "multi", BCON_BOOL(true), "}", "]");

    return mongo_write(&m->writer, &call, command, NULL, err);
}

struct odd_docs {
    const struct checking *c;
    const char *what;
    bool mended;
};

static int report_time(void *ctx, const bson_t *doc, struct err *err)
{
    struct odd_docs *odd = ctx;
    struct slice module;

    (void)err;
    if (!mongo_get_text(doc, "moduleName", &module) || !module.n)
        if (!mongo_get_text(doc, "depModule", &module))
            module = SLICE("");
    found(odd->c, "odd_time", module, odd->what, true, odd->mended);
    return 0;
}

static int check_times(const struct checking *c, const struct time_field *f, struct err *err)
{
    static const struct mongo_call call = { "mongo.check.find", "looking for odd times", false };
    const char *collection = mongo_collections[f->collection].name;
    AUTO(free_str_auto) char *value = xasprintf("$%s", f->field);
    AUTO(free_str_auto) char *what = xasprintf("%s.%s is not a 64-bit integer", collection, f->field);
    AUTO_BSON filter = odd_times(value);
    AUTO_BSON opts =
        BCON_NEW("projection", "{", "moduleName", BCON_INT32(1), "depModule", BCON_INT32(1), "}");
    struct odd_docs odd = { c, what, c->check->fence != 0 };
    int code = c->check->fence ? mongo_lease_extend(c->m, c->check->fence, err) : 0;

    /* reported first: afterwards there is nothing to be found any more */
    if (!code)
        code = mongo_find(&c->m->writer, &call, collection, filter, opts, report_time, &odd, err);
    return !code && c->check->fence ? rewrite_times(c->m, collection, f->field, filter, err) : code;
}

/* ---- leftovers ---- */

static int report_log(void *ctx, const bson_t *doc, struct err *err)
{
    (void)doc, (void)err;
    found(ctx, "leftover_log", SLICE(""), MONGO_INTENTS, true, false);
    return 0;
}

/* Taking the lease finishes or deletes them. */
static int check_logs(struct checking *c, struct err *err)
{
    static const struct mongo_call call = { "mongo.check.logs", "looking for logs", false };
    AUTO_BSON filter = BCON_NEW("_id.n", BCON_INT32(0));
    AUTO_BSON opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}");

    return mongo_find(&c->m->writer, &call, MONGO_INTENTS, filter, opts, report_log, c, err);
}

int mongo_check(struct store *store, const struct store_check *check, struct err *err)
{
    struct store_mongo *m = (struct store_mongo *)store;
    struct checking c = { m, check };
    int code = 0;

    pthread_mutex_lock(&m->write_lock);
    if (check->fence && m->base.read_only)
        code = err_set(err, ERR_READ_ONLY, "%s", m->base.read_only_reason);
    if (!code)
        code = mongo_each_index(check_index, &c, err);
    for (size_t i = 0; i < ARRAY_LEN(time_fields) && !code; i++)
        code = check_times(&c, &time_fields[i], err);
    if (!code)
        code = check_logs(&c, err);
    pthread_mutex_unlock(&m->write_lock);
    return code;
}
