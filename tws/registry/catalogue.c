#include "tws/registry/catalogue.h"

#include "tws/registry/blocks.h"

const struct cat_module *cat_find_module(const struct catalogue *cat, struct slice name)
{
    size_t low = 0, high = cat->module_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = name_compare(cat->modules[mid]->name, name);
        if (order == 0)
            return cat->modules[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct cat_version *cat_find_version(const struct cat_module *module, int64_t version)
{
    size_t low = 0, high = module->version_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct cat_version *v = module->versions[mid];
        if (v->version == version)
            return v;
        if (v->version < version)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct cat_version *cat_last(const struct cat_module *module)
{
    return cat_find_version(module, module->last);
}

const struct cat_version *cat_released(const struct cat_module *module)
{
    return cat_find_version(module, module->released);
}

static const struct rec_entry *find_entry(const struct rec_entry *entries, size_t count, struct slice name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = name_compare(entries[mid].name, name);
        if (order == 0)
            return &entries[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct rec_entry *cat_version_type(const struct cat_version *version, struct slice name)
{
    return find_entry(version->types, version->type_count, name);
}

const struct rec_entry *cat_version_func(const struct cat_version *version, struct slice name)
{
    return find_entry(version->funcs, version->func_count, name);
}

static const struct cat_name *find_name(const struct cat_name *names, size_t count, struct slice name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = name_compare(names[mid].name, name);
        if (order == 0)
            return &names[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct cat_name *cat_find_type(const struct cat_module *module, struct slice name)
{
    return find_name(module->types, module->type_count, name);
}

const struct cat_name *cat_find_func(const struct cat_module *module, struct slice name)
{
    return find_name(module->funcs, module->func_count, name);
}

const struct cat_row *cat_find_row(const struct cat_name *name, struct semver version)
{
    size_t low = 0, high = name->row_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = semver_compare(name->rows[mid].version, version);
        if (order == 0)
            return &name->rows[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct cat_owner *cat_find_owner(const struct cat_module *module, struct slice user)
{
    for (size_t i = 0; i < module->owner_count; i++)
        if (slice_eq(module->owners[i].user, user))
            return &module->owners[i];
    return NULL;
}

static int compare_edge_to(const struct cat_edge *edge, struct slice name, struct semver version)
{
    int order = name_compare(edge->name, name);

    return order ? order : semver_compare(edge->version, version);
}

size_t cat_edges_of(const struct cat_edge *edges, size_t count, struct slice name, struct semver version,
                    const struct cat_edge **ret_first)
{
    size_t low = 0, high = count, end;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_edge_to(&edges[mid], name, version) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (end = low; end < count && compare_edge_to(&edges[end], name, version) == 0;)
        end++;
    *ret_first = edges + low;
    return end - low;
}

bool cat_effectively_released(const struct cat_module *module, const struct cat_version *version)
{
    return version->released && version->version <= module->released;
}
