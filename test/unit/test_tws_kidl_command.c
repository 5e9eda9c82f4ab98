/* `wstyped compile`: exit statuses and what is printed where. */
#include "t.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/arena.h"
#include "shared/base/sbuf.h"
#include "tws/cmd_compile.h"

struct place {
    char dir[64];
    struct arena arena;
};

struct outcome {
    int status;
    struct slice out;
    struct slice err;
};

static int make_place(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    snprintf(place->dir, sizeof(place->dir), "/tmp/wstyped-compile-XXXXXX");
    *state = place;
    return mkdtemp(place->dir) ? 0 : -1;
}

static int drop_place(void **state)
{
    static const char *const names[] = { "main.spec", "A.types", "A.spec", "B.spec", "out", "err" };
    struct place *place = *state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unlink(arena_printf(&place->arena, "%s/%s", place->dir, names[i]));
    rmdir(place->dir);
    arena_release(&place->arena);
    free(place);
    return 0;
}

static char *path_of(struct place *place, const char *name)
{
    return arena_printf(&place->arena, "%s/%s", place->dir, name);
}

static void put(struct place *place, const char *name, const char *text)
{
    FILE *f = fopen(path_of(place, name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct slice take(struct place *place, const char *name)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    FILE *f = fopen(path_of(place, name), "r");
    int c;

    assert_non_null(f);
    while ((c = getc(f)) != EOF)
        sbuf_addc(&text, (char)c);
    fclose(f);
    return arena_slice(&place->arena, sbuf_slice(&text));
}

/* Points the stream at a file and returns a copy of what it was. */
static int divert(FILE *stream, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    fflush(stream);
    int saved = dup(fileno(stream));
    dup2(fd, fileno(stream));
    close(fd);
    return saved;
}

static void restore(FILE *stream, int saved)
{
    fflush(stream);
    dup2(saved, fileno(stream));
    close(saved);
}

/* args: up to three, then the file if `with_file`. */
static struct outcome run(struct place *place, const char *a, const char *b, const char *c)
{
    const char *const args[] = { "compile", a, b, c };
    char *argv[ARRAY_LEN(args) + 1] = { NULL };
    struct outcome o;
    int argc = 0;

    for (size_t i = 0; i < ARRAY_LEN(args); i++)
        if (args[i])
            argv[argc++] = arena_strdup(&place->arena, args[i]);
    int out = divert(stdout, path_of(place, "out")), err = divert(stderr, path_of(place, "err"));
    o.status = cmd_compile(argc, argv);
    restore(stdout, out);
    restore(stderr, err);
    o.out = take(place, "out");
    o.err = take(place, "err");
    return o;
}

static void test_json(void **state)
{
    struct place *place = *state;

    put(place, "main.spec",
        "module M { typedef int t; typedef string t; funcdef f(t) returns () authentication required; };");
    struct outcome o = run(place, "--json", path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 0);
    assert_slice(o.err, "");
    json_t *root = json_loadb(o.out.p, o.out.n, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_object_size(root), 3);
    json_t *types = json_object_get(root, "types"), *functions = json_object_get(root, "functions");
    json_t *modules = json_object_get(root, "modules");
    assert_int_equal(json_object_size(types), 1);
    json_t *t = json_object_get(types, "t");
    assert_non_null(strstr(json_string_value(json_object_get(t, "json_schema")), "kidl-string"));
    assert_int_equal(json_string_length(json_object_get(t, "md5")), 32);
    assert_non_null(strstr(json_string_value(json_object_get(t, "parsing_structure")), "KBT::Typedef"));
    json_t *f = json_object_get(functions, "f");
    assert_string_equal(json_string_value(json_object_get(f, "authentication")), "required");
    assert_non_null(strstr(json_string_value(json_object_get(f, "parsing_structure")), "\"arg1\""));
    json_t *m = json_array_get(modules, 0);
    assert_string_equal(json_string_value(json_object_get(m, "name")), "M");
    assert_string_equal(json_string_value(json_object_get(m, "service")), "M");
    assert_string_equal(json_string_value(json_object_get(m, "comment")), "");
    assert_int_equal(json_string_length(json_object_get(m, "md5")), 32);
    json_decref(root);
}

static void test_json_of_several_modules(void **state)
{
    struct place *place = *state;

    put(place, "main.spec",
        "module M { typedef int t; }; module N { typedef M.t t; funcdef f() returns (); };");
    struct outcome o = run(place, "--json", path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 0);
    json_t *root = json_loadb(o.out.p, o.out.n, 0, NULL);
    assert_non_null(json_object_get(json_object_get(root, "types"), "M.t"));
    assert_non_null(json_object_get(json_object_get(root, "types"), "N.t"));
    assert_non_null(json_object_get(json_object_get(root, "functions"), "N.f"));
    json_decref(root);
}

static void test_json_of_nothing(void **state)
{
    struct place *place = *state;

    put(place, "main.spec", "");
    struct outcome o = run(place, "--json", path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 0);
    assert_slice(o.out, "{\"types\":{},\"functions\":{},\"modules\":[]}\n");
}

static void test_json_errors(void **state)
{
    static const struct {
        const char *spec;
        const char *out;
    } rows[] = {
        { "module M { typedef x y; };",
          "{\"error\":\"Error at line 1, column 20: Can not find type: x\"}\n" },
        { "module M { typedef list<structure { }> y; };", "{\"error\":\"No property in the map: name\"}\n" },
        { "_", "{\"error\":\"Lexical error at line 1, column 2.  Encountered: <EOF> after : \\\"\\\"\"}\n" },
    };
    struct place *place = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(place, "main.spec", rows[i].spec);
        struct outcome o = run(place, "--json", path_of(place, "main.spec"), NULL);
        assert_int_equal(o.status, 1);
        assert_slice(o.out, rows[i].out);
        assert_slice(o.err, "");
    }
}

static void test_bytes_that_are_no_text(void **state)
{
    struct place *place = *state;

    put(place, "main.spec", "/* \xff\xed\xa0\xbd */ module M { };");
    struct outcome o = run(place, "--json", path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 0);
    json_t *root = json_loadb(o.out.p, o.out.n, 0, NULL);
    assert_non_null(root);
    const char *comment =
        json_string_value(json_object_get(json_array_get(json_object_get(root, "modules"), 0), "comment"));
    assert_int_equal(memcmp(comment, "\xef\xbf\xbd", 3), 0);
    json_decref(root);
}

static void test_includes(void **state)
{
    struct place *place = *state;
    char *option = arena_printf(&place->arena, "--include=%s", place->dir);

    put(place, "main.spec", "#include <x/A.y>\n#include <B>\nmodule M { typedef tuple<A.t, B.t> t; };");
    put(place, "A.types", "module A { typedef int t; };");
    put(place, "A.spec", "module A { typedef float t; };");
    put(place, "B.spec", "module B { typedef string t; };");
    struct outcome o = run(place, option, path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.out.p, "kidl-int"));
    assert_non_null(strstr(o.out.p, "kidl-string"));
    o = run(place, "--json", path_of(place, "main.spec"), NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.out.p, "Can not find included module [A] from line: #include <x/A.y>"));
}

static void test_output_for_people(void **state)
{
    struct place *place = *state;

    put(place, "main.spec", "module M { typedef int t; };");
    struct outcome o = run(place, path_of(place, "main.spec"), NULL, NULL);
    assert_int_equal(o.status, 0);
    assert_slice(o.out, "M.t\n{\n  \"id\" : \"t\",\n  \"description\" : \"\",\n  \"type\" : \"integer\",\n"
                        "  \"original-type\" : \"kidl-int\"\n}\n");
    put(place, "main.spec", "module M {\n typedef x y; };");
    o = run(place, path_of(place, "main.spec"), NULL, NULL);
    assert_int_equal(o.status, 1);
    assert_slice(o.out, "");
    assert_slice(o.err,
                 arena_printf(&place->arena, "%s:2:10: Error at line 2, column 10: Can not find type: x\n",
                              path_of(place, "main.spec")));
}

static void test_usage(void **state)
{
    struct place *place = *state;
    struct outcome o = run(place, "--help", NULL, NULL);

    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.out.p, "usage: wstyped compile"));
    o = run(place, NULL, NULL, NULL);
    assert_int_equal(o.status, 2);
    assert_non_null(strstr(o.err.p, "usage: wstyped compile"));
    o = run(place, "--nonsense", "x", NULL);
    assert_int_equal(o.status, 2);
    o = run(place, "a", "b", NULL);
    assert_int_equal(o.status, 2);
}

static void test_unreadable_file(void **state)
{
    struct place *place = *state;
    struct outcome o = run(place, path_of(place, "nothing.spec"), NULL, NULL);

    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err.p, "cannot read"));
    o = run(place, "--json", path_of(place, "nothing.spec"), NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.out.p, "{\"error\":\"cannot read"));
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)
    static const struct CMUnitTest tests[] = {
        IN_PLACE(test_json),
        IN_PLACE(test_json_of_several_modules),
        IN_PLACE(test_json_of_nothing),
        IN_PLACE(test_json_errors),
        IN_PLACE(test_bytes_that_are_no_text),
        IN_PLACE(test_includes),
        IN_PLACE(test_output_for_people),
        IN_PLACE(test_usage),
        IN_PLACE(test_unreadable_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
