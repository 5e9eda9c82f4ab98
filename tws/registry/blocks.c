#include "tws/registry/blocks.h"

int name_compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_entries(const void *a, const void *b)
{
    const struct rec_entry *x = a, *y = b;

    return name_compare(x->name, y->name);
}

static size_t entries_bytes(const struct rec_entry *entries, size_t count)
{
    size_t n = count * sizeof(*entries);

    for (size_t i = 0; i < count; i++)
        n += entries[i].name.n;
    return n;
}

static size_t version_bytes(const struct cat_version *v)
{
    size_t n = v->description.n + v->md5.n + v->user.n + v->method.n;

    n += v->include_count * sizeof(*v->includes);
    for (size_t i = 0; i < v->include_count; i++)
        n += v->includes[i].module.n;
    return n + entries_bytes(v->types, v->type_count) + entries_bytes(v->funcs, v->func_count);
}

static struct slice put_text(char **at, struct slice s)
{
    char *to = *at;

    if (s.n)
        memcpy(to, s.p, s.n);
    *at += s.n;
    return slice_of(to, s.n);
}

static struct rec_entry *put_entries(char **array, char **texts, const struct rec_entry *from, size_t count)
{
    struct rec_entry *to = (struct rec_entry *)(void *)*array;

    *array += count * sizeof(*to);
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].name = put_text(texts, from[i].name);
    }
    if (count)
        qsort(to, count, sizeof(*to), compare_entries);
    return to;
}

struct version_block *version_block_new(const struct cat_version *like)
{
    struct version_block *block = xmalloc(sizeof(*block) + version_bytes(like));
    char *array = (char *)(block + 1);
    char *texts = array + like->include_count * sizeof(*like->includes) +
                  (like->type_count + like->func_count) * sizeof(*like->types);
    struct rec_include *includes = (struct rec_include *)(void *)array;

    block->pub = *like;
    atomic_init(&block->refs, 1);
    array += like->include_count * sizeof(*includes);
    for (size_t i = 0; i < like->include_count; i++) {
        includes[i] = like->includes[i];
        includes[i].module = put_text(&texts, like->includes[i].module);
    }
    block->pub.includes = includes;
    block->pub.types = put_entries(&array, &texts, like->types, like->type_count);
    block->pub.funcs = put_entries(&array, &texts, like->funcs, like->func_count);
    block->pub.description = put_text(&texts, like->description);
    block->pub.md5 = put_text(&texts, like->md5);
    block->pub.user = put_text(&texts, like->user);
    block->pub.method = put_text(&texts, like->method);
    return block;
}

/* The block is ours to count and free, though readers see it through a const pointer. */
static struct version_block *block_of_version(const struct cat_version *version)
{
    return (struct version_block *)(uintptr_t)version;
}

static struct module_block *block_of_module(const struct cat_module *module)
{
    return (struct module_block *)(uintptr_t)module;
}

struct version_block *version_block_ref(const struct cat_version *version)
{
    struct version_block *block = block_of_version(version);

    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void version_block_unref(const struct cat_version *version)
{
    struct version_block *block = block_of_version(version);

    if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) == 1)
        free(block);
}

struct module_block *module_block_ref(const struct cat_module *module)
{
    struct module_block *block = block_of_module(module);

    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void module_block_unref(const struct cat_module *module)
{
    struct module_block *block = block_of_module(module);

    if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < block->pub.version_count; i++)
        version_block_unref(block->pub.versions[i]);
    arena_release(&block->arena);
    free(block);
}

void request_block_unref(struct request_block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_release(&block->arena);
    free(block);
}

void snapshot_free(struct snapshot *snap)
{
    if (!snap)
        return;
    for (size_t i = 0; i < snap->pub.module_count; i++)
        module_block_unref(snap->pub.modules[i]);
    free((void *)(uintptr_t)snap->pub.modules);
    request_block_unref(snap->requests);
    free(snap);
}
