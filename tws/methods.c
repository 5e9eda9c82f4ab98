#include "tws/methods.h"

#include "shared/base/json.h"
#include "shared/base/log.h"
#include "shared/rpc/local_methods.h"
#include "shared/rpc/type_methods.h"
#include "tws/admin.h"
#include "tws/answers.h"
#include "tws/app.h"

/* Lists longer than this are not worked on by event threads. */
enum { MANY = 64 };

int methods_need_object(const void *object, struct err *err)
{
    return object ? 0 : err_set(err, ERR_ARGUMENT, "Must provide a parameter object");
}

/* ---- helpers ---- */

static struct answers answers_begin(struct call *call)
{
    struct tws *tws = tws_of(call);

    return (struct answers){ .cat = registry_snapshot(tws->registry),
                             .texts = tws->texts,
                             .user = call->user,
                             .may_block = call->may_block,
                             .arena = &call->arena };
}

static void answers_end(struct answers *answers)
{
    catalogue_unref(answers->cat);
}

/* A snapshot for the time of the function. */
#define ANSWERS(name, call) AUTO(answers_end) struct answers name = answers_begin(call)

static bool is_set(struct param_int value)
{
    return value.given && value.value != 0;
}

/* Parameter structures: there, and without unknown keys. */
static int read_object(const struct call *call, const void **ret_object, struct err *err)
{
    const struct param_head *head = call->params[0].object;
    int rc = methods_need_object(head, err);

    if (rc < 0)
        return rc;
    *ret_object = head;
    return params_check_unexpected(head, err);
}

static int parse_id(struct param_text text, struct type_id *ret_id, struct err *err)
{
    return type_id_parse(text.text, !text.given, ret_id, err);
}

/* ---- types and functions ---- */

static int resolve_type(const struct answers *a, struct param_text text, struct type_id *ret_id,
                        struct resolved_type *ret_type, struct err *err)
{
    int rc = parse_id(text, ret_id, err);

    return rc < 0 ? rc : registry_resolve_type(a->cat, a->user, ret_id, false, ret_type, err);
}

static int run_get_jsonschema(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    struct type_id id;
    struct resolved_type type;
    int rc = resolve_type(&a, call->params[0].text, &id, &type, err);

    return rc < 0 ? rc : answer_schema(&a, &type, ret_result, err);
}

static int run_get_type_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    struct type_id id;
    struct resolved_type type;
    int rc = resolve_type(&a, call->params[0].text, &id, &type, err);

    return rc < 0 ? rc : answer_type_info(&a, &type, ret_result, err);
}

static int run_get_func_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    struct type_id id;
    struct resolved_type func;
    int rc = parse_id(call->params[0].text, &id, err);

    if (rc == 0)
        rc = registry_resolve_func(a.cat, a.user, &id, &func, err);
    return rc < 0 ? rc : answer_func_info(&a, &func, ret_result, err);
}

/* ---- modules ---- */

static int need_name(struct param_text module, struct err *err)
{
    return module.given ? 0 : err_set(err, ERR_ARGUMENT, "Must provide a module name");
}

static int run_get_module_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const void *object;
    const struct cat_module *module;
    const struct cat_version *version;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct get_module_info_params *params = object;
    if ((rc = need_name(params->mod, err)) < 0)
        return rc;
    rc = registry_resolve_module(a.cat, a.user, params->mod.text, params->ver.given, params->ver.value,
                                 &module, &version, err);
    return rc < 0 ? rc : answer_module_info(&a, module, version, ret_result, err);
}

static int resolve_newest(const struct answers *a, struct param_text name,
                          const struct cat_module **ret_module, const struct cat_version **ret_version,
                          struct err *err)
{
    int rc = need_name(name, err);

    return rc < 0
               ? rc
               : registry_resolve_module(a->cat, a->user, name.text, false, 0, ret_module, ret_version, err);
}

static int run_get_all_type_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const struct cat_module *module;
    const struct cat_version *version;
    int rc = resolve_newest(&a, call->params[0].text, &module, &version, err);

    if (rc == 0 && version->type_count > MANY && !call->may_block)
        rc = -ERR_AGAIN;
    return rc < 0 ? rc : answer_all_types(&a, module, version, ret_result, err);
}

static int run_get_all_func_info(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const struct cat_module *module;
    const struct cat_version *version;
    int rc = resolve_newest(&a, call->params[0].text, &module, &version, err);

    if (rc == 0 && version->func_count > MANY && !call->may_block)
        rc = -ERR_AGAIN;
    return rc < 0 ? rc : answer_all_funcs(&a, module, version, ret_result, err);
}

static int run_list_modules(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct param_text owner = ((const struct list_modules_params *)object)->owner;
    if (owner.given && (rc = username_check(owner.text, false, err)) < 0)
        return rc;
    answer_module_names(&a, owner.given ? &owner.text : NULL, ret_result);
    return 0;
}

static int versions_by_module(const struct answers *a, struct slice name, struct sbuf *ret_result,
                              struct err *err)
{
    const struct cat_module *module;
    int rc = registry_need_module(a->cat, name, &module, err);

    if (rc < 0)
        return rc;
    if (!module->supported)
        return err_set(err, ERR_NO_MODULE, "Module %.*s is no longer supported", (int)name.n, name.p);
    answer_versions(a, module, ret_result);
    return 0;
}

static int versions_by_type(const struct answers *a, struct param_text text, struct sbuf *ret_result,
                            struct err *err)
{
    struct type_id id;
    struct resolved_type type;
    int rc = resolve_type(a, text, &id, &type, err);

    if (rc == 0)
        answer_versions_of_type(a, &type, id.form == TYPE_ID_FULL || id.form == TYPE_ID_MD5, ret_result);
    return rc;
}

static int run_list_module_versions(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct list_module_versions_params *params = object;
    if (params->mod.given == params->type.given)
        return err_set(err, ERR_ARGUMENT, "Must provide either a module name or a type");
    if (params->mod.given)
        return versions_by_module(&a, params->mod.text, ret_result, err);
    return versions_by_type(&a, params->type, ret_result, err);
}

static int run_list_all_types(struct call *call, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc == 0)
        answer_released_types(&a, is_set(((const struct list_all_types_params *)object)->with_empty_modules),
                              ret_result);
    return rc;
}

/* ---- translations: a map from the texts as given, each once, in their order ---- */

struct numbered {
    struct slice text;
    size_t index;
};

static int compare_numbered(const void *x, const void *y)
{
    const struct numbered *a = x, *b = y;
    size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
    int order = n ? memcmp(a->text.p, b->text.p, n) : 0;

    if (!order)
        order = (a->text.n > b->text.n) - (a->text.n < b->text.n);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

/* again[i]: an equal text stands before it. */
static bool *find_repeated(const struct param_texts *texts, struct arena *arena)
{
    struct numbered *sorted = arena_alloc(arena, (texts->count + 1) * sizeof(*sorted));
    bool *again = arena_zalloc(arena, texts->count + 1);

    for (size_t i = 0; i < texts->count; i++)
        sorted[i] = (struct numbered){ texts->items[i].text, i };
    qsort(sorted, texts->count, sizeof(*sorted), compare_numbered);
    for (size_t i = 1; i < texts->count; i++)
        again[sorted[i].index] = slice_eq(sorted[i - 1].text, sorted[i].text);
    return again;
}

typedef int translate_fn(const struct answers *a, const struct type_id *id, struct sbuf *out,
                         struct err *err);

static int translate(struct call *call, translate_fn *one, struct sbuf *ret_result, struct err *err)
{
    ANSWERS(a, call);
    const struct param_texts *texts = &call->params[0].texts;
    bool *again;

    if (!texts->given)
        return err_set(err, ERR_ARGUMENT, "Must provide a list of types");
    if (texts->count > MANY && !call->may_block)
        return -ERR_AGAIN;
    again = find_repeated(texts, &call->arena);
    sbuf_addc(ret_result, '{');
    for (size_t i = 0; i < texts->count; i++) {
        struct type_id id;
        int rc = parse_id(texts->items[i], &id, err);
        if (rc < 0)
            return rc;
        if (again[i])
            continue;
        if (i)
            sbuf_addc(ret_result, ',');
        json_put_string(ret_result, texts->items[i].text);
        sbuf_addc(ret_result, ':');
        if ((rc = one(&a, &id, ret_result, err)) < 0)
            return rc;
    }
    sbuf_addc(ret_result, '}');
    return 0;
}

static int md5_to_versions(const struct answers *a, const struct type_id *id, struct sbuf *out,
                           struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    const struct cat_module *module;

    if (id->form != TYPE_ID_MD5) {
        type_id_put(&text, id);
        return err_set(err, ERR_NO_TYPE, "MD5 part is not defined for type %.*s", (int)text.len, text.p);
    }
    int rc = registry_need_module(a->cat, id->module, &module, err);
    if (rc == 0)
        answer_md5_versions(module, id, out);
    return rc;
}

static int version_to_md5(const struct answers *a, const struct type_id *id, struct sbuf *out,
                          struct err *err)
{
    struct resolved_type type;
    int rc = registry_resolve_type(a->cat, a->user, id, true, &type, err);

    if (rc < 0)
        return rc;
    sbuf_addc(out, '"');
    json_put_escaped(out, type.module->name);
    sbuf_addc(out, '.');
    json_put_escaped(out, type.name->name);
    sbuf_addc(out, '-');
    sbuf_adds(out, type.row->md5);
    sbuf_addc(out, '"');
    return 0;
}

static int run_translate_from_MD5_types(struct call *call, struct sbuf *ret_result, struct err *err)
{
    return translate(call, md5_to_versions, ret_result, err);
}

static int run_translate_to_MD5_types(struct call *call, struct sbuf *ret_result, struct err *err)
{
    return translate(call, version_to_md5, ret_result, err);
}

/* ---- changes ---- */

static int run_request_module_ownership(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    struct slice module = tws_or_null(call->params[0].text);
    int rc = tws_begin_change(call, module, err);

    return rc < 0 ? rc : registry_request_module(tws_of(call)->registry, call->user, module, err);
}

static const struct slice *read_names(const struct param_texts *texts, struct arena *arena)
{
    struct slice *names = arena_alloc(arena, (texts->count + 1) * sizeof(*names));

    for (size_t i = 0; i < texts->count; i++)
        names[i] = tws_or_null(texts->items[i]);
    return names;
}

/* A null version restricts nothing. */
static const struct rec_include *read_dependencies(const struct param_int_map *map, struct arena *arena,
                                                   size_t *ret_count)
{
    struct rec_include *dependencies = arena_alloc(arena, (map->count + 1) * sizeof(*dependencies));
    size_t n = 0;

    for (size_t i = 0; map->given && i < map->count; i++)
        if (map->items[i].value.given)
            dependencies[n++] = (struct rec_include){ map->items[i].key, map->items[i].value.value };
    *ret_count = n;
    return dependencies;
}

static void put_registered(const struct registry_registered *done, struct sbuf *out)
{
    size_t n = 0;

    sbuf_addc(out, '{');
    for (size_t i = 0; i < done->count; i++) {
        const struct registry_schema *schema = &done->schemas[i], *next = schema + 1;
        /* a type that the spec defines twice is one key; the last definition counts */
        if (i + 1 < done->count && slice_eq(schema->name, next->name) &&
            semver_compare(schema->version, next->version) == 0)
            continue;
        if (n++)
            sbuf_addc(out, ',');
        answer_put_id(out, schema->module, schema->name, schema->version);
        sbuf_addc(out, ':');
        json_put_string(out, schema->text);
    }
    sbuf_addc(out, '}');
}

static int run_register_typespec(struct call *call, struct sbuf *ret_result, struct err *err)
{
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct register_typespec_params *params = object;
    if (params->spec.given == params->mod.given)
        return err_set(err, ERR_ARGUMENT, "Must provide either a spec or module name");
    struct registry_change change = {
        .user = call->user,
        .refresh = params->mod.given,
        .module = tws_or_null(params->mod),
        .spec = tws_or_null(params->spec),
        .add_count = params->new_types.given ? params->new_types.count : 0,
        .remove_count = params->remove_types.given ? params->remove_types.count : 0,
        .dry_run = !params->dryrun.given || params->dryrun.value != 0,
        .has_prev = params->prev_ver.given,
        .prev = params->prev_ver.value,
    };
    change.add = read_names(&params->new_types, &call->arena);
    change.remove = read_names(&params->remove_types, &call->arena);
    change.dependencies = read_dependencies(&params->dependencies, &call->arena, &change.dependency_count);
    if (!change.dry_run && (rc = tws_begin_change(call, change.module, err)) < 0)
        return rc;

    struct registry_registered done;
    rc = registry_register(tws_of(call)->registry, &change, &call->arena, &done, err);
    if (rc < 0)
        return rc;
    if (!change.dry_run)
        log_putf(&call->notes, "version", "%lld", (long long)done.version);
    put_registered(&done, ret_result);
    return 0;
}

static int run_release_module(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct slice module = tws_or_null(call->params[0].text);
    const struct rec_entry *types;
    size_t count;
    int rc = tws_begin_change(call, module, err);

    if (rc == 0)
        rc = registry_release(tws_of(call)->registry, call->user, module, &call->arena, &types, &count, err);
    if (rc < 0)
        return rc;
    sbuf_addc(ret_result, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            sbuf_addc(ret_result, ',');
        answer_put_id(ret_result, module, types[i].name, types[i].version);
    }
    sbuf_addc(ret_result, ']');
    return 0;
}

static int run_grant_module_ownership(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct grant_module_ownership_params *params = object;
    struct slice module = tws_or_null(params->mod);
    if ((rc = tws_begin_change(call, module, err)) < 0)
        return rc;
    return registry_grant(tws_of(call)->registry, call->user, module, tws_or_null(params->new_owner),
                          is_set(params->with_grant_option), err);
}

static int run_remove_module_ownership(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    const void *object;
    int rc = read_object(call, &object, err);

    if (rc < 0)
        return rc;
    const struct remove_module_ownership_params *params = object;
    struct slice module = tws_or_null(params->mod);
    if ((rc = tws_begin_change(call, module, err)) < 0)
        return rc;
    return registry_remove_owner(tws_of(call)->registry, call->user, module, tws_or_null(params->old_owner),
                                 err);
}

/* ---- about this server ---- */

static int run_describe(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    const struct tws *tws = tws_of(call);
    const char *reason = tws_read_only(tws);

    sbuf_addf(ret_result,
              "{\"role\":\"tws\",\"node\":\"%s\",\"cluster\":\"%s\",\"version\":\"%s\",\"protocol\":%d,"
              "\"read_only\":%d,\"read_only_reason\":",
              service_node_id(call->service), tws->cluster, WSTYPED_VERSION, PROTOCOL_VERSION,
              reason != NULL);
    if (reason)
        json_put_str(ret_result, reason);
    else
        sbuf_adds(ret_result, "null");
    sbuf_adds(ret_result, ",\"target\":null,\"chain\":[]}");
    return 0;
}

#define run_ver local_ver
#define run_status local_status
#define run_get_admin_role local_get_admin_role
#define run_administer admin_run
#define run_register_typespec_copy copy_run

#define SERVICE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("TypeService", n, auth, flags, sig, result, run_##n, doc)
#define TYPE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("Workspace", n, auth, flags, sig, result, run_##n, doc)

static const struct method rows[] = { SERVICE_METHODS(SERVICE_ROW) TYPE_METHODS(TYPE_ROW) };

const struct method_table tws_methods = { rows, ARRAY_LEN(rows) };
