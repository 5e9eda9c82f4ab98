/*
 * Every test/golden/kidl/NAME.spec with what must come out of it: NAME.err is the error text, NAME.json names
 * texts of the types, functions and modules (those it does not name are not looked at).  Included modules are
 * in NAME.include/ or in include/.
 */
#include "t.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>

#include "shared/base/digest.h"
#include "shared/base/javahash.h"
#include "tws/kidl/kidl.h"

#define FOLDER "test/golden/kidl"

static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;

/* One compiled case. */
struct run {
    const char *name;
    struct arena arena;
    struct kidl_unit unit;
    struct err err;
};

static bool read_text(struct arena *arena, const char *path, struct slice *ret_text)
{
    AUTO_SBUF(text, 1 << 24);
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return false;
    do {
        char *room = sbuf_room(&text, 4096);
        n = fread(room, 1, 4096, f);
        sbuf_added(&text, n);
    } while (n);
    fclose(f);
    *ret_text = arena_slice(arena, sbuf_slice(&text));
    return true;
}

static int find_include(void *ctx, struct slice name, struct slice *ret_text, struct err *err UNUSED)
{
    struct run *run = ctx;
    const char *own =
        arena_printf(&run->arena, FOLDER "/%s.include/%.*s.spec", run->name, (int)name.n, name.p);
    const char *common = arena_printf(&run->arena, FOLDER "/include/%.*s.spec", (int)name.n, name.p);

    return read_text(&run->arena, own, ret_text) || read_text(&run->arena, common, ret_text) ? 0
                                                                                             : -ERR_NO_MODULE;
}

static int compile(struct run *run, const char *name)
{
    struct slice text;

    *run = (struct run){ .name = name, .arena = ARENA_INIT, .err = ERR_INIT };
    const char *path = arena_printf(&run->arena, FOLDER "/%s.spec", name);
    assert_true(read_text(&run->arena, path, &text));
    int rc = kidl_compile(text, find_include, run, &limits, &run->arena, &run->unit, NULL, &run->err);
    for (size_t i = 0; rc == 0 && i < run->unit.module_count; i++)
        rc = kidl_check_reload(&run->unit.modules[i], &run->err);
    return rc;
}

static void release(struct run *run)
{
    arena_release(&run->arena);
    err_clear(&run->err);
}

/* Expectations. */

/* A text, or a list of pieces that are joined with `separator`. */
static void join(const json_t *value, const char *separator, struct sbuf *out)
{
    if (json_is_string(value))
        sbuf_add(out, json_string_value(value), json_string_length(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        sbuf_adds(out, i ? separator : "");
        sbuf_adds(out, json_string_value(json_array_get(value, i)));
    }
}

static void expect_text(const json_t *object, const char *key, const char *separator, struct slice got)
{
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    const json_t *value = json_object_get(object, key);

    if (!value)
        return;
    join(value, separator, &want);
    struct slice all = sbuf_slice(&want);
    char *text = xmemdup(got.p, got.n);
    assert_string_equal(text, all.p);
    assert_int_equal(got.n, all.n);
    free(text);
}

/* `key`: a list of texts each of which must occur. */
static void expect_parts(const json_t *object, const char *key, struct slice got)
{
    const json_t *list = json_object_get(object, key);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *part = json_string_value(json_array_get(list, i));
        if (!memmem(got.p, got.n, part, strlen(part)))
            fail_msg("%s does not hold %s\nbut is %.*s", key, part, (int)got.n, got.p);
    }
}

static const struct kidl_component *find(const struct run *run, const char *name)
{
    const struct kidl_component *found = NULL;

    for (size_t i = 0; i < run->unit.module_count; i++) {
        const struct kidl_module *m = &run->unit.modules[i];
        for (size_t k = 0; k < m->component_count; k++) {
            const struct kidl_component *c = &m->components[k];
            char *full = xasprintf("%.*s.%.*s", (int)m->name.n, m->name.p,
                                   (int)(c->is_func ? c->func.name : c->type.name).n,
                                   (c->is_func ? c->func.name : c->type.name).p);
            if (strcmp(full, name) == 0 || strcmp(strchr(full, '.') + 1, name) == 0)
                found = c;
            free(full);
        }
    }
    return found;
}

static bool no_version(void *ctx UNUSED, struct slice module UNUSED, struct slice name UNUSED,
                       int *ret_major UNUSED, int *ret_minor UNUSED)
{
    return false;
}

static void check_component(struct run *run, const struct kidl_component *c, const json_t *want)
{
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    AUTO_SBUF(parsing, SBUF_NO_LIMIT);
    AUTO_SBUF(spec_def, SBUF_NO_LIMIT);
    const struct kidl_node *node = c->is_func ? c->func.node : c->type.node;
    char md5[MD5_HEX + 1] = "";

    if (!c->is_func) {
        assert_int_equal(kidl_schema(node, &limits, &schema, &run->err), 0);
        md5_hex(sbuf_slice(&schema), md5);
    }
    assert_int_equal(kidl_tree_text(node, &limits, &tree, &run->err), 0);
    const struct kidl_node *loaded = kidl_reload(node, &run->arena);
    kidl_parsing_structure(loaded, &parsing);
    kidl_spec_def(loaded, run->unit.modules[0].name, no_version, NULL, &spec_def);
    expect_text(want, "schema", "\n", sbuf_slice(&schema));
    expect_parts(want, "schema has", sbuf_slice(&schema));
    expect_text(want, "tree", "", sbuf_slice(&tree));
    expect_parts(want, "tree has", sbuf_slice(&tree));
    expect_text(want, "parsing_structure", "", sbuf_slice(&parsing));
    expect_parts(want, "parsing_structure has", sbuf_slice(&parsing));
    expect_text(want, "spec_def", "\n", sbuf_slice(&spec_def));
    expect_text(want, "md5", "", slice_str(md5));
    expect_text(want, "comment", "\n", kidl_node_comment(node));
    expect_text(want, "authentication", "", c->is_func ? c->func.authentication : SLICE(""));
}

static void check_module(struct run *run, const struct kidl_module *m, const json_t *want)
{
    char md5[33];

    assert_int_equal(kidl_module_md5(m, &limits, md5, &run->err), 0);
    expect_text(want, "name", "", m->name);
    expect_text(want, "service", "", m->service);
    expect_text(want, "comment", "\n", m->comment);
    expect_text(want, "md5", "", slice_str(md5));
}

/* Loading the printed tree gives the same as the direct way. */

static bool note_reference(void *ctx, struct slice module, struct slice name, struct err *err UNUSED)
{
    sbuf_add_slice(ctx, module);
    sbuf_addc(ctx, '.');
    sbuf_add_slice(ctx, name);
    sbuf_addc(ctx, ' ');
    return false;
}

static void describe(const struct kidl_node *node, struct slice module, struct sbuf *out, struct err *err)
{
    kidl_parsing_structure(node, out);
    kidl_spec_def(node, module, no_version, NULL, out);
    assert_int_equal(kidl_references(node, note_reference, out, err), 0);
    sbuf_add_slice(out, kidl_node_comment(node));
}

static void check_reload(struct run *run, const struct kidl_component *c)
{
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    AUTO_SBUF(direct_text, SBUF_NO_LIMIT);
    AUTO_SBUF(loaded_text, SBUF_NO_LIMIT);
    const struct kidl_node *node = c->is_func ? c->func.node : c->type.node, *loaded;
    struct slice module = run->unit.modules[0].name;

    assert_int_equal(kidl_tree_text(node, &limits, &tree, &run->err), 0);
    assert_int_equal(kidl_load(sbuf_slice(&tree), &run->arena, &loaded, &run->err), 0);
    const struct kidl_node *direct = kidl_reload(node, &run->arena);
    describe(direct, module, &direct_text, &run->err);
    describe(loaded, module, &loaded_text, &run->err);
    assert_string_equal(direct_text.p, loaded_text.p);
    assert_int_equal(direct_text.len, loaded_text.len);
    assert_int_equal((c->is_func ? kidl_func_change : kidl_type_change)(direct, loaded), KIDL_NO_CHANGE);
    assert_int_equal((c->is_func ? kidl_func_change : kidl_type_change)(loaded, direct), KIDL_NO_CHANGE);
}

static void check_all_reloads(struct run *run)
{
    for (size_t i = 0; i < run->unit.module_count; i++)
        for (size_t k = 0; k < run->unit.modules[i].component_count; k++)
            check_reload(run, &run->unit.modules[i].components[k]);
}

static void check_result(struct run *run, json_t *want)
{
    static const char *const kinds[] = { "types", "functions" };
    json_t *value;
    const char *name;
    size_t i;

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        json_object_foreach (json_object_get(want, kinds[k]), name, value) {
            const struct kidl_component *c = find(run, name);
            if (!c || c->is_func != (k == 1))
                fail_msg("%s: there is no %s", kinds[k], name);
            check_component(run, c, value);
        }
    }
    const json_t *modules = json_object_get(want, "modules");
    if (modules)
        assert_int_equal(json_array_size(modules), run->unit.module_count);
    json_array_foreach (modules, i, value)
        check_module(run, &run->unit.modules[i], value);
    check_all_reloads(run);
}

static void test_case(void **state)
{
    struct run run;
    struct slice text;
    json_error_t where;
    int rc = compile(&run, *state);
    const char *error_path = arena_printf(&run.arena, FOLDER "/%s.err", run.name);

    if (read_text(&run.arena, error_path, &text)) {
        assert_true(rc < 0);
        assert_int_equal(rc, -(int)run.err.code);
        assert_string_equal(err_text(&run.err), text.p);
    } else {
        if (rc < 0)
            fail_msg("unexpected error: %s", err_text(&run.err));
        json_t *want = json_load_file(arena_printf(&run.arena, FOLDER "/%s.json", run.name), 0, &where);
        if (!want)
            fail_msg("%s.json:%d: %s", run.name, where.line, where.text);
        check_result(&run, want);
        json_decref(want);
    }
    release(&run);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(void)
{
    struct CMUnitTest tests[1000];
    size_t count = 0;
    struct dirent *entry;
    DIR *dir = opendir(FOLDER);

    if (!dir) {
        fprintf(stderr, "run this in the root of the project: no %s here\n", FOLDER);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL && count < ARRAY_LEN(tests)) {
        size_t n = strlen(entry->d_name);
        if (n < 5 || strcmp(entry->d_name + n - 5, ".spec") != 0)
            continue;
        char *name = xmemdup(entry->d_name, n - 5);
        tests[count++] = (struct CMUnitTest){ name, test_case, NULL, NULL, name };
    }
    closedir(dir);
    qsort(tests, count, sizeof(*tests), by_name);
    int failed = count ? _cmocka_run_group_tests("kidl golden", tests, count, NULL, NULL) : 1;
    for (size_t i = 0; i < count; i++)
        free(tests[i].initial_state);
    return failed;
}
