#include "dws/methods_types.h"

#include "dws/app.h"
#include "shared/base/log.h"
#include "shared/rpc/local_methods.h"

enum {
    MAX_TYPES = 1000,    /* in one call of resolve_types */
    MAX_LISTED = 100000, /* entries of each cache in an answer of cache_info */
};

#define MAX_ANSWER ((size_t)1 << 30)
#define SECOND 1e6

int types_wrong_param(const struct call *call, const char *what, struct err *err)
{
    return err_set(err, ERR_PARAMS, "Wrong type of parameter 0 for method %s (%s)", call->method->name, what);
}

/* ---- resolve_types ---- */

struct resolve {
    struct call *call;
    bool with_schema;
    struct types_batch batch;
};

static const char *source_name(enum type_source source)
{
    static const char *const names[] = {
        [TYPE_FROM_CACHE] = "cache",
        [TYPE_FROM_TWS] = "tws",
        [TYPE_FROM_STALE] = "stale",
    };

    return names[source];
}

static void put_found(const struct resolve *r, const struct type_found *found, struct sbuf *json)
{
    const struct schema *schema = schema_of(found->schema);

    sbuf_adds(json, ",\"absolute\":");
    json_put_string(json, schema->absolute);
    sbuf_adds(json, ",\"error\":null,\"schema\":");
    if (r->with_schema)
        json_put_string(json, blob_slice(found->schema));
    else
        sbuf_adds(json, "null");
    sbuf_addf(json, ",\"source\":\"%s\",\"stale\":%d,\"age_s\":%.3f}", source_name(found->source),
              found->source == TYPE_FROM_STALE, (double)found->age_us / SECOND);
}

static void put_item(const struct resolve *r, const struct types_wanted *item, struct sbuf *json)
{
    sbuf_adds(json, "{\"type\":");
    json_put_string(json, item->ref);
    if (item->rc == 0) {
        put_found(r, &item->found, json);
        return;
    }
    sbuf_adds(json, ",\"absolute\":null,\"error\":");
    json_put_string(json, slice_of(item->err.text, item->err.len));
    sbuf_adds(json, ",\"schema\":null,\"source\":null,\"stale\":0,\"age_s\":null}");
}

static void put_answer(struct resolve *r, struct sbuf *json)
{
    sbuf_addc(json, '[');
    for (size_t i = 0; i < r->batch.count; i++) {
        if (i)
            sbuf_addc(json, ',');
        put_item(r, &r->batch.items[i], json);
    }
    sbuf_addc(json, ']');
    types_batch_release(&r->batch);
}

static void resolved(void *ctx)
{
    struct resolve *r = ctx;
    struct sbuf result = SBUF_INIT(MAX_ANSWER);

    put_answer(r, &result);
    call_finish(r->call, 0, &result, NULL);
}

/* A flag as clients send it: 0, 1, true, false, null. */
static bool is_flag(const struct json_val *val, bool *ret_on)
{
    bool is_one = val->kind == JSON_KIND_TRUE || (val->kind == JSON_KIND_INT && !slice_is(val->text, "0"));

    if (val->kind != JSON_KIND_INT && val->kind != JSON_KIND_TRUE && val->kind != JSON_KIND_FALSE &&
        val->kind != JSON_KIND_NULL)
        return false;
    *ret_on = is_one;
    return true;
}

/* *ret_list: the names; a bare list, or the member `types` of an object. */
static int read_request(struct call *call, const struct json_val **ret_list, bool *ret_schema,
                        struct err *err)
{
    const struct json_val *param = call->params[0].any;

    *ret_schema = false;
    *ret_list = param;
    if (param->kind == JSON_KIND_OBJECT) {
        *ret_list = NULL;
        for (const struct json_val *m = param->first; m; m = m->next) {
            if (slice_is(m->key, "types"))
                *ret_list = m;
            else if (!slice_is(m->key, "schema"))
                return err_set(err, ERR_ARGUMENT, "Unexpected arguments in ResolveTypesParams: %.*s",
                               (int)m->key.n, m->key.p);
            else if (!is_flag(m, ret_schema))
                return types_wrong_param(call, "schema must be 0 or 1", err);
        }
    }
    if (!*ret_list || (*ret_list)->kind != JSON_KIND_ARRAY)
        return types_wrong_param(
            call, "a list of type names is wanted, or an object with the members types and schema", err);
    for (const struct json_val *m = (*ret_list)->first; m; m = m->next)
        if (m->kind != JSON_KIND_STRING)
            return types_wrong_param(call, "the names of types must be strings", err);
    if ((*ret_list)->count > MAX_TYPES)
        return err_set(err, ERR_LIMIT, "More than %d types in one call", MAX_TYPES);
    return 0;
}

int types_run_resolve(struct call *call, struct sbuf *ret_result, struct err *err)
{
    const struct json_val *list;
    struct resolve *r = arena_zalloc(&call->arena, sizeof(*r));
    size_t i = 0;
    int rc = read_request(call, &list, &r->with_schema, err);

    if (rc < 0)
        return rc;
    r->call = call;
    r->batch.items = arena_zalloc(&call->arena, (list->count + 1) * sizeof(*r->batch.items));
    r->batch.count = list->count;
    r->batch.done = resolved;
    r->batch.ctx = r;
    for (const struct json_val *m = list->first; m; m = m->next)
        r->batch.items[i++].ref = m->text;
    if (types_resolve_all(dws_of(call)->types, &r->batch) == TYPES_LATER)
        return CALL_LATER;
    put_answer(r, ret_result);
    return 0;
}

/* ---- cache_info ---- */

struct listing {
    struct sbuf *json;
    uint64_t now;
    size_t count;
    bool cut;
};

static bool begin_entry(struct listing *l, const struct cache_view *view)
{
    if (l->count == MAX_LISTED) {
        l->cut = true;
        return false;
    }
    sbuf_adds(l->json, l->count++ ? ",{\"type\":" : "{\"type\":");
    json_put_string(l->json, view->key);
    sbuf_addf(l->json, ",\"bytes\":%zu,\"age_s\":%.3f", view->bytes,
              l->now > view->put_at ? (double)(l->now - view->put_at) / SECOND : 0.0);
    return true;
}

static void list_schema(void *ctx, const struct cache_view *view)
{
    struct listing *l = ctx;

    if (begin_entry(l, view))
        sbuf_addf(l->json, ",\"schema_bytes\":%zu,\"released\":%d}", view->value->n,
                  schema_of(view->value)->released);
}

static void list_mapping(void *ctx, const struct cache_view *view)
{
    struct listing *l = ctx;

    if (!begin_entry(l, view))
        return;
    sbuf_adds(l->json, ",\"absolute\":");
    json_put_string(l->json, blob_slice(view->value));
    sbuf_addf(l->json, ",\"expired\":%d}", view->expired);
}

static bool put_list(const char *name, struct cache *cache,
                     void (*fn)(void *ctx, const struct cache_view *view), uint64_t now, struct sbuf *json)
{
    struct listing l = { .json = json, .now = now };

    sbuf_addf(json, ",\"%s\":[", name);
    cache_each(cache, now, fn, &l);
    sbuf_addc(json, ']');
    return l.cut;
}

int types_run_cache_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct types *types = dws_of(call)->types;
    uint64_t now = types_now(types);
    int rc = local_admin_check(call, err);

    if (rc < 0)
        return rc;
    sbuf_adds(ret_result, "{\"status\":{");
    types_put_status(types, ret_result);
    sbuf_addc(ret_result, '}');
    bool cut = put_list("schemas", schemas_cache(types_schemas(types)), list_schema, now, ret_result);
    cut = put_list("mappings", mappings_cache(types_mappings(types)), list_mapping, now, ret_result) || cut;
    sbuf_addf(ret_result, ",\"cut\":%d}", cut);
    return 0;
}

/* ---- cache_flush ---- */

/* null and {} mean all, {"module": M} one module. */
static int read_module(struct call *call, struct slice *ret_module, struct err *err)
{
    const struct json_val *param = call->params[0].any;

    *ret_module = SLICE("");
    if (param->kind == JSON_KIND_NULL)
        return 0;
    if (param->kind != JSON_KIND_OBJECT)
        return types_wrong_param(call, "an object is wanted, with the member module or without any", err);
    for (const struct json_val *m = param->first; m; m = m->next) {
        if (!slice_is(m->key, "module"))
            return err_set(err, ERR_ARGUMENT, "Unexpected arguments in CacheFlushParams: %.*s", (int)m->key.n,
                           m->key.p);
        int rc = m->kind == JSON_KIND_STRING ? name_check(m->text, false, "Module name", err)
                                             : types_wrong_param(call, "module must be a string", err);
        if (rc < 0)
            return rc;
        *ret_module = m->text;
    }
    return 0;
}

int types_run_cache_flush(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct types_dropped dropped;
    struct slice module;
    int rc = local_admin_check(call, err);

    if (rc == 0)
        rc = local_admin_check_full(call, err);
    if (rc == 0)
        rc = read_module(call, &module, err);
    if (rc < 0)
        return rc;
    types_flush(dws_of(call)->types, module, &dropped);
    log_put(&call->notes, "module", module.n ? module : SLICE("(all)"));
    sbuf_addf(ret_result, "{\"schemas\":%zu,\"mappings\":%zu,\"negative\":%zu}", dropped.schemas,
              dropped.mappings, dropped.negatives);
    return 0;
}
