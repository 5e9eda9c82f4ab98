#include "dws/schemas.h"

struct schemas {
    struct cache *cache;
};

struct schemas *schemas_new(size_t limit)
{
    const struct cache_options options = { .limit = limit };
    struct schemas *schemas = xcalloc(1, sizeof(*schemas));

    schemas->cache = cache_new(&options);
    return schemas;
}

void schemas_free(struct schemas *schemas)
{
    if (!schemas)
        return;
    cache_free(schemas->cache);
    free(schemas);
}

static void free_schema(void *object)
{
    struct schema *schema = object;

    check_program_unref(schema->program);
    free(schema->problem);
    free(schema);
}

struct blob *schema_new(struct slice absolute, struct slice text, bool released)
{
    struct schema *schema = xmalloc(sizeof(*schema) + absolute.n);
    char *copy = (char *)(schema + 1);

    memcpy(copy, absolute.p, absolute.n);
    *schema = (struct schema){ .absolute = slice_of(copy, absolute.n), .released = released };
    schema->program = check_program_new((struct check_text){ text.p, text.n }, &schema->problem);
    size_t bytes = schema->program ? check_program_bytes(schema->program) : strlen(schema->problem);
    const struct attachment attached = { schema, sizeof(*schema) + absolute.n + bytes, free_schema };
    return blob_new_with(text, &attached);
}

bool schemas_find(struct schemas *schemas, struct slice absolute, uint64_t now, struct cache_found *ret_found)
{
    return cache_find(schemas->cache, absolute, now, ret_found);
}

bool schemas_peek(struct schemas *schemas, struct slice absolute, uint64_t now, struct cache_found *ret_found)
{
    return cache_peek(schemas->cache, absolute, now, ret_found);
}

static bool is_missing(void *ctx, const struct blob *there)
{
    (void)ctx;
    return !there;
}

struct blob *schemas_put(struct schemas *schemas, struct blob *schema, uint64_t now)
{
    struct slice key = schema_of(schema)->absolute;
    struct cache_found found;

    if (cache_put_if(schemas->cache, key, schema, now, is_missing, NULL))
        return schema;
    if (!cache_peek(schemas->cache, key, now, &found))
        return schema;
    blob_unref(schema);
    return found.value;
}

struct cache *schemas_cache(struct schemas *schemas)
{
    return schemas->cache;
}
