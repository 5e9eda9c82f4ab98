#include "tws/answers.h"

#include <assert.h>

#include "shared/base/json.h"
#include "tws/edges.h"
#include "tws/history.h"

enum { DETAILS_OF_TYPE = 'T', DETAILS_OF_FUNC = 'F' };

void answer_put_int(struct sbuf *out, int64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        sbuf_addc(out, '-');
    sbuf_add(out, digits + at, sizeof(digits) - at);
}

static void put_version(struct sbuf *out, struct semver version)
{
    answer_put_int(out, version.major);
    sbuf_addc(out, '.');
    answer_put_int(out, version.minor);
}

void answer_put_id(struct sbuf *out, struct slice module, struct slice name, struct semver version)
{
    sbuf_addc(out, '"');
    json_put_escaped(out, module);
    sbuf_addc(out, '.');
    json_put_escaped(out, name);
    sbuf_addc(out, '-');
    put_version(out, version);
    sbuf_addc(out, '"');
}

static void put_comma(struct sbuf *out, size_t i)
{
    if (i)
        sbuf_addc(out, ',');
}

static int no_type(const struct resolved_type *type, struct err *err)
{
    return err_set(err, ERR_NO_TYPE, "Unable to locate type: %.*s.%.*s-%d.%d", (int)type->module->name.n,
                   type->module->name.p, (int)type->name->name.n, type->name->name.p,
                   type->row->version.major, type->row->version.minor);
}

static int no_func(const struct resolved_type *func, struct err *err)
{
    return err_set(err, ERR_NO_FUNC, "Unable to locate function: '%.*s.%.*s'", (int)func->module->name.n,
                   func->module->name.p, (int)func->name->name.n, func->name->name.p);
}

static struct text_key text_key_of(enum text_kind kind, const struct resolved_type *type)
{
    return (struct text_key){
        .kind = kind, .module = type->module->name, .name = type->name->name, .version = type->row->version
    };
}

int answer_schema(const struct answers *a, const struct resolved_type *type, struct sbuf *out,
                  struct err *err)
{
    struct text_key key = text_key_of(TEXT_SCHEMA, type);

    return texts_put(a->texts, &key, a->may_block, a->arena, out, err);
}

/* Modules and their versions that one module version was compiled with, itself first. */
struct closure {
    const struct catalogue *cat;
    size_t count, room;
    struct closure_item {
        struct slice module;
        const struct cat_version *version;
    } * items;
};

static void closure_release(struct closure *closure)
{
    free(closure->items);
}

static const struct cat_version *closure_find(const struct closure *closure, struct slice module)
{
    for (size_t i = 0; i < closure->count; i++)
        if (slice_eq(closure->items[i].module, module))
            return closure->items[i].version;
    return NULL;
}

static void closure_add(struct closure *closure, struct slice module, int64_t version)
{
    const struct cat_module *found = cat_find_module(closure->cat, module);
    const struct cat_version *info = found ? cat_find_version(found, version) : NULL;

    if (!info || closure_find(closure, module))
        return;
    if (closure->count == closure->room) {
        closure->room = closure->room ? 2 * closure->room : 8;
        closure->items = xrealloc(closure->items, closure->room * sizeof(*closure->items));
    }
    closure->items[closure->count++] = (struct closure_item){ found->name, info };
}

static void closure_fill(struct closure *closure, struct slice module, int64_t version)
{
    closure_add(closure, module, version);
    for (size_t i = 0; i < closure->count; i++) {
        const struct cat_version *info = closure->items[i].version;
        for (size_t k = 0; k < info->include_count; k++)
            closure_add(closure, info->includes[k].module, info->includes[k].version);
    }
}

static bool version_in_closure(void *ctx, struct slice module, struct slice name, int *ret_major,
                               int *ret_minor)
{
    const struct cat_version *info = closure_find(ctx, module);
    const struct rec_entry *entry = info ? cat_version_type(info, name) : NULL;

    if (!entry)
        return false;
    *ret_major = entry->version.major;
    *ret_minor = entry->version.minor;
    return true;
}

/* What is made from a parse tree; `links` is the module version that tells the versions in spec_def. */
static int make_details(const struct answers *a, const struct resolved_type *type, char what, int64_t links,
                        struct sbuf *out, struct err *err)
{
    AUTO_ARENA(arena);
    AUTO_SBUF(raw, SBUF_NO_LIMIT);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO(closure_release) struct closure closure = { .cat = a->cat };
    struct text_key key = text_key_of(what == DETAILS_OF_TYPE ? TEXT_TYPE_PARSE : TEXT_FUNC_PARSE, type);
    const struct kidl_node *node;
    int rc;

    if ((rc = texts_read(a->texts, &key, &raw, err)) < 0 ||
        (rc = kidl_load(sbuf_slice(&raw), &arena, &node, err)) < 0)
        return rc;
    closure_fill(&closure, type->module->name, links);
    kidl_spec_def(node, type->module->name, version_in_closure, &closure, &text);
    sbuf_adds(out, "\"description\":");
    json_put_string(out, kidl_node_comment(node));
    sbuf_adds(out, ",\"spec_def\":");
    json_put_string(out, sbuf_slice(&text));
    if (what == DETAILS_OF_TYPE) {
        sbuf_adds(out, ",\"json_schema\":");
        if ((rc = answer_schema(a, type, out, err)) < 0)
            return rc;
    }
    sbuf_reset(&text);
    kidl_parsing_structure(node, &text);
    sbuf_adds(out, ",\"parsing_structure\":");
    json_put_string(out, sbuf_slice(&text));
    return 0;
}

/* The members description, spec_def, json_schema (types), parsing_structure: one piece that is kept as it is.
 */
static int put_details(const struct answers *a, const struct resolved_type *type, char what, int64_t links,
                       struct sbuf *out, struct err *err)
{
    struct text_key key = text_key_of(TEXT_SCHEMA, type);
    struct slice name = texts_name(what, &key, links, a->arena);

    if (texts_find(a->texts, name, out))
        return 0;
    if (!a->may_block)
        return -ERR_AGAIN;

    AUTO_SBUF(details, SBUF_NO_LIMIT);
    int rc = make_details(a, type, what, links, &details, err);
    if (rc < 0)
        return rc;
    texts_keep(a->texts, name, sbuf_slice(&details));
    sbuf_add_slice(out, sbuf_slice(&details));
    return 0;
}

static void put_ints(struct sbuf *out, const struct history *history, bool only_released)
{
    size_t n = 0;

    sbuf_addc(out, '[');
    for (size_t i = 0; i < history->holder_count; i++) {
        if (only_released && !history->holders[i]->released)
            continue;
        put_comma(out, n++);
        answer_put_int(out, history->holders[i]->version);
    }
    sbuf_addc(out, ']');
}

static void put_versions(struct sbuf *out, const struct resolved_type *type, const struct history *history,
                         bool only_released)
{
    size_t n = 0;

    sbuf_addc(out, '[');
    for (size_t i = 0; i < history->seen_count; i++) {
        if (only_released && !history->seen[i].released)
            continue;
        put_comma(out, n++);
        answer_put_id(out, type->module->name, type->name->name, history->seen[i].version);
    }
    sbuf_addc(out, ']');
}

static void put_edges(struct sbuf *out, const struct edge_list *list)
{
    sbuf_addc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        put_comma(out, i);
        answer_put_id(out, list->items[i]->other_module, list->items[i]->other_name,
                      list->items[i]->other_version);
    }
    sbuf_addc(out, ']');
}

static void put_users(struct sbuf *out, const struct answers *a, const struct resolved_type *type)
{
    struct edge_list list;

    sbuf_adds(out, ",\"using_func_defs\":");
    edges_using(a->cat, a->user, type, true, a->arena, &list);
    put_edges(out, &list);
    sbuf_adds(out, ",\"using_type_defs\":");
    edges_using(a->cat, a->user, type, false, a->arena, &list);
    put_edges(out, &list);
}

/* Members of which types and functions have the same ones under other names. */
struct info_members {
    const char *id, *holders, *released_holders, *versions, *released_versions;
};

static const struct info_members type_members = {
    "{\"type_def\":",  ",\"module_vers\":",        ",\"released_module_vers\":",
    ",\"type_vers\":", ",\"released_type_vers\":",
};
static const struct info_members func_members = {
    "{\"func_def\":",  ",\"module_vers\":",        ",\"released_module_vers\":",
    ",\"func_vers\":", ",\"released_func_vers\":",
};

static int put_info(const struct answers *a, const struct resolved_type *type, bool is_func,
                    const struct history *history, struct sbuf *out, struct err *err)
{
    const struct info_members *members = is_func ? &func_members : &type_members;
    bool owner = registry_is_owner(type->module, a->user);
    /* upstream lets owners of functions see no more module versions than others */
    bool only_released = history->any_released && (is_func || !owner);
    struct edge_list used;
    int rc;

    sbuf_adds(out, members->id);
    answer_put_id(out, type->module->name, type->name->name, type->row->version);
    sbuf_addc(out, ',');
    rc = put_details(a, type, is_func ? DETAILS_OF_FUNC : DETAILS_OF_TYPE,
                     history_first(history, only_released), out, err);
    if (rc < 0)
        return rc;
    sbuf_adds(out, members->holders);
    put_ints(out, history, only_released);
    sbuf_adds(out, members->released_holders);
    put_ints(out, history, true);
    sbuf_adds(out, members->versions);
    put_versions(out, type, history, !owner);
    sbuf_adds(out, members->released_versions);
    put_versions(out, type, history, true);
    if (!is_func)
        put_users(out, a, type);
    sbuf_adds(out, ",\"used_type_defs\":");
    edges_used(a->cat, owner, type, is_func, a->arena, &used);
    put_edges(out, &used);
    sbuf_addc(out, '}');
    return 0;
}

int answer_type_info(const struct answers *a, const struct resolved_type *type, struct sbuf *out,
                     struct err *err)
{
    struct history history;

    history_of(type, false, a->arena, &history);
    return history.holder_count ? put_info(a, type, false, &history, out, err) : no_type(type, err);
}

int answer_func_info(const struct answers *a, const struct resolved_type *func, struct sbuf *out,
                     struct err *err)
{
    struct history history;

    history_of(func, true, a->arena, &history);
    return history.holder_count ? put_info(a, func, true, &history, out, err) : no_func(func, err);
}

static bool entry_row(const struct cat_module *module, const struct rec_entry *entry, bool is_func,
                      struct resolved_type *ret_found)
{
    const struct cat_name *name =
        is_func ? cat_find_func(module, entry->name) : cat_find_type(module, entry->name);
    const struct cat_row *row = name ? cat_find_row(name, entry->version) : NULL;

    if (!row)
        return false;
    *ret_found = (struct resolved_type){ module, name, row };
    return true;
}

int answer_all_types(const struct answers *a, const struct cat_module *module,
                     const struct cat_version *version, struct sbuf *out, struct err *err)
{
    size_t n = 0;

    sbuf_addc(out, '[');
    for (size_t i = 0; i < version->type_count; i++) {
        const struct rec_entry *entry = &version->types[i];
        struct resolved_type type;
        if (!entry->supported)
            continue;
        if (!entry_row(module, entry, false, &type))
            return err_set(err, ERR_NO_TYPE, "Unable to locate type: %.*s.%.*s-%d.%d", (int)module->name.n,
                           module->name.p, (int)entry->name.n, entry->name.p, entry->version.major,
                           entry->version.minor);
        put_comma(out, n++);
        int rc = answer_type_info(a, &type, out, err);
        if (rc < 0)
            return rc;
    }
    sbuf_addc(out, ']');
    return 0;
}

int answer_all_funcs(const struct answers *a, const struct cat_module *module,
                     const struct cat_version *version, struct sbuf *out, struct err *err)
{
    sbuf_addc(out, '[');
    for (size_t i = 0; i < version->func_count; i++) {
        const struct rec_entry *entry = &version->funcs[i];
        struct resolved_type func;
        if (!entry_row(module, entry, true, &func))
            return err_set(err, ERR_STORE, "Function parse record was not found for %.*s.%.*s.%d.%d",
                           (int)module->name.n, module->name.p, (int)entry->name.n, entry->name.p,
                           entry->version.major, entry->version.minor);
        put_comma(out, i);
        int rc = answer_func_info(a, &func, out, err);
        if (rc < 0)
            return rc;
    }
    sbuf_addc(out, ']');
    return 0;
}

/* Schemas of the supported types of a module version. */
static int put_schemas(const struct answers *a, const struct cat_module *module,
                       const struct cat_version *version, struct sbuf *out, struct err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < version->type_count; i++) {
        const struct rec_entry *entry = &version->types[i];
        struct text_key key = {
            .kind = TEXT_SCHEMA, .module = module->name, .name = entry->name, .version = entry->version
        };
        if (!entry->supported)
            continue;
        put_comma(out, n++);
        answer_put_id(out, module->name, entry->name, entry->version);
        sbuf_addc(out, ':');
        int rc = texts_put(a->texts, &key, a->may_block, a->arena, out, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int compare_includes(const void *x, const void *y)
{
    const struct rec_include *a = x, *b = y;
    size_t n = a->module.n < b->module.n ? a->module.n : b->module.n;
    int order = n ? memcmp(a->module.p, b->module.p, n) : 0;

    return order ? order : (a->module.n > b->module.n) - (a->module.n < b->module.n);
}

static void put_includes(const struct answers *a, const struct cat_version *version, struct sbuf *out)
{
    struct rec_include *sorted = arena_alloc(a->arena, (version->include_count + 1) * sizeof(*sorted));

    for (size_t i = 0; i < version->include_count; i++)
        sorted[i] = version->includes[i];
    qsort(sorted, version->include_count, sizeof(*sorted), compare_includes);
    for (size_t i = 0; i < version->include_count; i++) {
        put_comma(out, i);
        json_put_string(out, sorted[i].module);
        sbuf_addc(out, ':');
        answer_put_int(out, sorted[i].version);
    }
}

int answer_module_info(const struct answers *a, const struct cat_module *module,
                       const struct cat_version *version, struct sbuf *out, struct err *err)
{
    struct text_key spec = { .kind = TEXT_SPEC, .module = module->name, .module_version = version->version };
    int rc;

    sbuf_adds(out, "{\"owners\":[");
    for (size_t i = 0; i < module->owner_count; i++) {
        put_comma(out, i);
        json_put_string(out, module->owners[i].user);
    }
    sbuf_adds(out, "],\"ver\":");
    answer_put_int(out, version->version);
    sbuf_adds(out, ",\"spec\":");
    if ((rc = texts_put(a->texts, &spec, a->may_block, a->arena, out, err)) < 0)
        return rc;
    sbuf_adds(out, ",\"description\":");
    json_put_string(out, version->description);
    sbuf_adds(out, ",\"types\":{");
    if ((rc = put_schemas(a, module, version, out, err)) < 0)
        return rc;
    sbuf_adds(out, "},\"included_spec_version\":{");
    put_includes(a, version, out);
    sbuf_adds(out, "},\"chsum\":");
    json_put_string(out, version->md5);
    sbuf_adds(out, ",\"functions\":[");
    for (size_t i = 0; i < version->func_count; i++) {
        put_comma(out, i);
        answer_put_id(out, module->name, version->funcs[i].name, version->funcs[i].version);
    }
    sbuf_adds(out, version->released ? "],\"is_released\":1}" : "],\"is_released\":0}");
    return 0;
}

void answer_module_names(const struct answers *a, const struct slice *owner, struct sbuf *out)
{
    size_t n = 0;

    sbuf_addc(out, '[');
    for (size_t i = 0; i < a->cat->module_count; i++) {
        const struct cat_module *module = a->cat->modules[i];
        if (!module->supported || (owner && !cat_find_owner(module, *owner)))
            continue;
        put_comma(out, n++);
        json_put_string(out, module->name);
    }
    sbuf_addc(out, ']');
}

void answer_versions(const struct answers *a, const struct cat_module *module, struct sbuf *out)
{
    bool owner = registry_is_owner(module, a->user);
    size_t n = 0;

    sbuf_adds(out, "{\"mod\":");
    json_put_string(out, module->name);
    sbuf_adds(out, ",\"vers\":[");
    for (size_t i = 0; i < module->version_count; i++) {
        const struct cat_version *version = module->versions[i];
        if (version->first || (!owner && !cat_effectively_released(module, version)))
            continue;
        put_comma(out, n++);
        answer_put_int(out, version->version);
    }
    sbuf_adds(out, "]}");
}

void answer_versions_of_type(const struct answers *a, const struct resolved_type *type, bool absolute,
                             struct sbuf *out)
{
    bool owner = registry_is_owner(type->module, a->user);
    struct history history;

    history_of(type, false, a->arena, &history);
    sbuf_adds(out, "{\"mod\":");
    json_put_string(out, type->module->name);
    sbuf_adds(out, ",\"vers\":");
    put_ints(out, &history, !owner && (history.any_released || !absolute));
    sbuf_addc(out, '}');
}

void answer_released_types(const struct answers *a, bool with_empty, struct sbuf *out)
{
    size_t n = 0;

    sbuf_addc(out, '{');
    for (size_t i = 0; i < a->cat->module_count; i++) {
        const struct cat_module *module = a->cat->modules[i];
        /* NULL in a damaged module, which then just has no types */
        const struct cat_version *version = cat_released(module);
        size_t types = version ? version->type_count : 0;
        if (!module->supported || (!types && !with_empty))
            continue;
        put_comma(out, n++);
        json_put_string(out, module->name);
        sbuf_adds(out, ":{");
        for (size_t k = 0; k < types; k++) {
            put_comma(out, k);
            json_put_string(out, version->types[k].name);
            sbuf_adds(out, ":\"");
            put_version(out, version->types[k].version);
            sbuf_addc(out, '"');
        }
        sbuf_addc(out, '}');
    }
    sbuf_addc(out, '}');
}

void answer_md5_versions(const struct cat_module *module, const struct type_id *id, struct sbuf *out)
{
    const struct cat_name *name = cat_find_type(module, id->name);
    size_t n = 0;

    assert(id->form == TYPE_ID_MD5);
    sbuf_addc(out, '[');
    for (size_t i = 0; name && i < name->row_count; i++) {
        if (!name->rows[i].has_schema || !slice_is(id->md5, name->rows[i].md5))
            continue;
        put_comma(out, n++);
        answer_put_id(out, module->name, name->name, name->rows[i].version);
    }
    sbuf_addc(out, ']');
}
