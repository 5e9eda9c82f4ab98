#include "tws/spec_file.h"

#include <errno.h>
#include <stdio.h>

#include "shared/base/typename.h"
#include "shared/base/utf.h"
#include "tws/kidl/kidl.h"

enum { READ_BLOCK = 65536 };

static int read_bytes(FILE *f, struct sbuf *bytes)
{
    char *room;

    while ((room = sbuf_room(bytes, READ_BLOCK)) != NULL) {
        size_t n = fread(room, 1, READ_BLOCK, f);
        if (n == 0)
            return ferror(f) ? -EIO : 0;
        sbuf_added(bytes, n);
    }
    return -EFBIG;
}

int spec_file_read(const char *path, struct arena *arena, struct slice *ret_text)
{
    static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;
    AUTO_SBUF(bytes, limits.max_spec_bytes + 2 * READ_BLOCK);
    AUTO_SBUF(repaired, SBUF_NO_LIMIT);
    FILE *f = fopen(path, "rb");

    if (!f)
        return -errno;
    int rc = read_bytes(f, &bytes);
    fclose(f);
    if (rc < 0)
        return rc;
    if (!utf_valid(sbuf_slice(&bytes)))
        utf_repair(sbuf_slice(&bytes), &repaired);
    *ret_text = arena_slice(arena, sbuf_slice(repaired.len ? &repaired : &bytes));
    return 0;
}

/* ---- a schema out of several files ---- */

struct files {
    const char *const *paths;
    size_t count;
    struct arena *arena;
};

/* The module's name as an include writes it: the file's name without folder and ending. */
static struct slice module_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return slice_of(name, strcspn(name, "."));
}

static int find_among(void *ctx, struct slice name, struct slice *ret_text, struct err *err)
{
    const struct files *files = ctx;

    for (size_t i = 0; i < files->count; i++) {
        if (!slice_eq(module_of(files->paths[i]), name))
            continue;
        int rc = spec_file_read(files->paths[i], files->arena, ret_text);
        return rc == 0 ? 0 : err_set(err, ERR_IO, "%s: %s", files->paths[i], strerror(-rc));
    }
    return -ERR_NO_MODULE;
}

static const struct kidl_node *find_type(const struct kidl_unit *unit, const struct type_id *id)
{
    for (size_t i = 0; i < unit->module_count; i++)
        if (slice_eq(unit->modules[i].name, id->module))
            return kidl_find_type(&unit->modules[i], id->name);
    return NULL;
}

static int compile_type(const struct files *files, const struct type_id *id, struct sbuf *ret_schema,
                        struct err *err)
{
    static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;
    const char *main_path = files->paths[files->count - 1];
    struct kidl_unit unit;
    struct slice text;
    int rc = spec_file_read(main_path, files->arena, &text);

    if (rc < 0)
        return err_set(err, ERR_IO, "%s: %s", main_path, strerror(-rc));
    rc = kidl_compile(text, find_among, (void *)(uintptr_t)files, &limits, files->arena, &unit, NULL, err);
    if (rc < 0) {
        err_prefix(err, "%s: ", main_path);
        return rc;
    }
    const struct kidl_node *node = find_type(&unit, id);
    if (!node)
        return err_set(err, ERR_NO_TYPE, "%s does not define that type", main_path);
    return kidl_schema(node, &limits, ret_schema, err);
}

int spec_file_schema(void *ctx UNUSED, const char *const *paths, size_t count, struct slice type,
                     struct sbuf *ret_schema, struct sbuf *ret_name, struct err *err)
{
    AUTO_ARENA(arena);
    const struct files files = { paths, count, &arena };
    struct type_id id;

    if (count == 0)
        return err_set(err, ERR_ARGUMENT, "no typespec was given");
    int rc = type_id_parse(type, false, &id, err);
    if (rc == 0)
        rc = compile_type(&files, &id, ret_schema, err);
    if (rc == 0)
        type_id_put(ret_name, &id);
    return rc;
}
