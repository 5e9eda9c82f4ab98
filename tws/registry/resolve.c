#include <inttypes.h>

#include "tws/registry/plan.h"

#define UNRELEASED(what) \
    "This " what " wasn't released yet and you should be an owner to access unreleased version information"

int registry_need_module(const struct catalogue *cat, struct slice module,
                         const struct cat_module **ret_module, struct err *err)
{
    const struct cat_module *found = module.p ? cat_find_module(cat, module) : NULL;

    if (!found)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module doesn't exist: "), or_null(module));
    *ret_module = found;
    return 0;
}

int registry_need_owner(const struct catalogue *cat, const char *user, struct slice module, bool grant,
                        struct err *err)
{
    return need_owner(module.p ? cat_find_module(cat, module) : NULL, module, user, grant, err);
}

bool registry_is_owner(const struct cat_module *module, const char *user)
{
    return user && cat_find_owner(module, slice_str(user));
}

static int no_info(const struct cat_module *module, struct err *err)
{
    return FAIL(err, ERR_STORE, SLICE("Info-record was not found for module: "), module->name);
}

/* Asking whether the caller is an owner needs a module that is registered. */
static int find_own(const struct cat_module *module, const char *user, bool *ret_own, struct err *err)
{
    int rc = user ? need_registered(module, module->name, err) : 0;

    *ret_own = rc == 0 && registry_is_owner(module, user);
    return rc;
}

/* ---- types ---- */

/* 1: found, 0: there is none for this caller, -ERR_x: the module's records are damaged */
static int current_type(const struct cat_module *module, struct slice name, bool own,
                        struct semver *ret_version, struct err *err)
{
    const struct cat_version *version = own ? cat_last(module) : cat_released(module);
    const struct rec_entry *entry;

    if (!module->supported)
        return 0;
    if (!version)
        return no_info(module, err);
    entry = cat_version_type(version, name);
    if (!entry || !entry->supported)
        return 0;
    *ret_version = entry->version;
    return 1;
}

/* The highest version with that major, removed or not. */
static int highest_of_major(const struct cat_module *module, struct slice name, int major, bool own,
                            struct semver *ret_version)
{
    struct semver best = { -1, -1 };

    for (size_t i = 0; module->supported && i < module->version_count; i++) {
        const struct cat_version *v = module->versions[i];
        const struct rec_entry *entry = cat_version_type(v, name);
        if (entry && entry->version.major == major && (own || cat_effectively_released(module, v)) &&
            semver_compare(entry->version, best) > 0)
            best = entry->version;
    }
    if (best.major < 0)
        return 0;
    *ret_version = best;
    return 1;
}

static int highest_of_md5(const struct cat_name *name, struct slice md5, struct semver *ret_version)
{
    for (size_t i = name ? name->row_count : 0; i-- > 0;) {
        if (slice_is(md5, name->rows[i].md5)) {
            *ret_version = name->rows[i].version;
            return 1;
        }
    }
    return 0;
}

static int find_type_version(const struct cat_module *module, const struct type_id *id, bool own,
                             struct semver *ret_version, struct err *err)
{
    switch (id->form) {
    case TYPE_ID_NONE:
        return current_type(module, id->name, own, ret_version, err);
    case TYPE_ID_MAJOR:
        return highest_of_major(module, id->name, id->version.major, own, ret_version);
    case TYPE_ID_MD5:
        return highest_of_md5(cat_find_type(module, id->name), id->md5, ret_version);
    case TYPE_ID_FULL:
        break;
    }
    *ret_version = id->version;
    return 1;
}

static int no_type(const struct type_id *id, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    type_id_put(&text, id);
    return FAIL(err, ERR_NO_TYPE, SLICE("Unable to locate type: "), sbuf_slice(&text));
}

static int no_row(const struct type_id *id, struct semver version, const char *what, struct err *err)
{
    char number[32];

    snprintf(number, sizeof(number), ".%d.%d", version.major, version.minor);
    return FAIL(err, ERR_STORE, slice_str(what), SLICE(" record was not found for "), id->module, SLICE("."),
                id->name, slice_str(number));
}

/* Whether the caller would find it if he were an owner. */
static bool is_unreleased_type(const struct cat_module *module, const struct type_id *id)
{
    struct semver version;
    AUTO_ERR(ignored);

    return (id->form == TYPE_ID_NONE || id->form == TYPE_ID_MAJOR) &&
           find_type_version(module, id, true, &version, &ignored) > 0;
}

int registry_resolve_type(const struct catalogue *cat, const char *user, const struct type_id *id,
                          bool md5_text, struct resolved_type *ret_type, struct err *err)
{
    const struct cat_module *module;
    struct semver version;
    bool own;
    int rc = registry_need_module(cat, id->module, &module, err);

    if (rc == 0)
        rc = find_own(module, user, &own, err);
    if (rc)
        return rc;
    int found = find_type_version(module, id, own, &version, err);
    if (found < 0)
        return found;
    if (!found && !own && !md5_text && is_unreleased_type(module, id))
        return err_set(err, ERR_NO_TYPE, UNRELEASED("type"));
    const struct cat_name *name = found ? cat_find_type(module, id->name) : NULL;
    const struct cat_row *row = name ? cat_find_row(name, version) : NULL;
    if (row && row->has_schema) {
        *ret_type = (struct resolved_type){ module, name, row };
        return 0;
    }
    if (md5_text && found)
        return no_row(id, version, "Type schema", err);
    return no_type(id, err);
}

/* ---- functions ---- */

/* 1, 0 or -ERR_x.  An owner finds the function even in a module that is not supported. */
static int current_func(const struct cat_module *module, struct slice name, bool own,
                        struct semver *ret_version, struct err *err)
{
    const struct cat_version *version = own ? cat_last(module) : cat_released(module);
    const struct rec_entry *entry;

    if (!own && !module->supported)
        return 0;
    if (!version)
        return no_info(module, err);
    entry = cat_version_func(version, name);
    if (!entry || !entry->supported)
        return 0;
    *ret_version = entry->version;
    return 1;
}

static int find_func_version(const struct cat_module *module, const char *user, const struct type_id *id,
                             struct semver *ret_version, struct err *err)
{
    AUTO_ERR(ignored);
    bool own;
    int rc = find_own(module, user, &own, err);

    if (rc)
        return rc;
    int found = current_func(module, id->name, own, ret_version, err);
    if (found < 0)
        return found;
    if (found)
        return 0;
    if (!own && current_func(module, id->name, true, ret_version, &ignored) > 0)
        return err_set(err, ERR_NO_FUNC, UNRELEASED("function"));
    return FAIL(err, ERR_NO_FUNC, SLICE("Unable to locate function: '"), id->module, SLICE("."), id->name,
                SLICE("'"));
}

int registry_resolve_func(const struct catalogue *cat, const char *user, const struct type_id *id,
                          struct resolved_type *ret_func, struct err *err)
{
    const struct cat_module *module;
    struct type_id full = *id;
    int rc = registry_need_module(cat, id->module, &module, err);

    if (rc)
        return rc;
    if (id->form == TYPE_ID_MAJOR || id->form == TYPE_ID_MD5)
        return err_set(err, ERR_ARGUMENT, "Wrong version number format, use <major>.<minor>");
    if (id->form == TYPE_ID_NONE) {
        rc = find_func_version(module, user, id, &full.version, err);
        if (rc)
            return rc;
    }
    const struct cat_name *name = cat_find_func(module, id->name);
    const struct cat_row *row = name ? cat_find_row(name, full.version) : NULL;
    if (!row || !row->has_parse)
        return no_row(id, full.version, "Function parse", err);
    *ret_func = (struct resolved_type){ module, name, row };
    return 0;
}

/* ---- modules ---- */

/* Without a number: the newest one for owners, else the last released one. */
static int current_version(const struct cat_module *module, const char *user, int64_t *ret_version,
                           struct err *err)
{
    bool own;
    int rc = find_own(module, user, &own, err);

    if (rc == 0)
        rc = need_supported(module, err);
    if (rc == 0)
        *ret_version = own ? module->last : module->released;
    return rc;
}

int registry_resolve_module(const struct catalogue *cat, const char *user, struct slice module,
                            bool has_version, int64_t version, const struct cat_module **ret_module,
                            const struct cat_version **ret_version, struct err *err)
{
    const struct cat_module *m;
    char number[32];
    int rc = registry_need_module(cat, module, &m, err);

    if (rc == 0 && !has_version)
        rc = current_version(m, user, &version, err);
    if (rc)
        return rc;
    const struct cat_version *v = cat_find_version(m, version);
    snprintf(number, sizeof(number), "%" PRId64, version);
    if (!v && has_version)
        return FAIL(err, ERR_NO_MODULE, SLICE("There is no information about module "), module,
                    SLICE(" for version "), slice_str(number));
    rc = need_registered(m, module, err);
    if (rc)
        return rc;
    if (!v)
        return no_info(m, err);
    if (!v->has_spec)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module wasn't uploaded: "), module);
    *ret_module = m;
    *ret_version = v;
    return 0;
}
