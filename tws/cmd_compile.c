#include "tws/cmd_compile.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"
#include "tws/kidl/kidl.h"
#include "tws/spec_file.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "usage: wstyped compile [--json] [--include DIR] FILE\n"
    "\n"
    "Compiles a KIDL file and prints the JSON Schema of each type.\n"
    "\n"
    "  --json          print one JSON object with schemas, parse trees and MD5s\n"
    "  --include DIR   find `#include <x/Name.ext>` as DIR/Name.types or DIR/Name.spec\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0, 1 if the spec does not compile, 2 for wrong usage.\n";

struct options {
    bool json;
    const char *include;
    const char *file;
};

/* Included files, kept as long as the compilation. */
struct includes {
    const char *dir;
    struct arena *arena;
};

struct types {
    const struct kidl_unit *unit;
    struct kidl_limits limits;
    struct arena arena;
    struct sbuf out;
};

/* Files. */

static int find_include(void *ctx, struct slice name, struct slice *ret_text, struct err *err UNUSED)
{
    static const char *const endings[] = { "types", "spec" };
    struct includes *includes = ctx;

    if (!includes->dir || name.n == 0 || memchr(name.p, '\0', name.n))
        return -ERR_NO_MODULE;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        const char *path =
            arena_printf(includes->arena, "%s/%.*s.%s", includes->dir, (int)name.n, name.p, endings[i]);
        if (spec_file_read(path, includes->arena, ret_text) == 0)
            return 0;
    }
    return -ERR_NO_MODULE;
}

/* JSON. */

static bool is_last_of_name(const struct kidl_module *module, size_t index)
{
    const struct kidl_component *c = &module->components[index];

    if (!c->is_func)
        return kidl_find_type(module, c->type.name) == c->type.node;
    for (size_t i = index + 1; i < module->component_count; i++)
        if (module->components[i].is_func && slice_eq(module->components[i].func.name, c->func.name))
            return false;
    return true;
}

/* The name, with the module before it if there are several. */
static void put_name(struct types *t, const struct kidl_module *module, struct slice name)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (t->unit->module_count > 1) {
        sbuf_add_slice(&text, module->name);
        sbuf_addc(&text, '.');
    }
    sbuf_add_slice(&text, name);
    json_put_string(&t->out, sbuf_slice(&text));
    sbuf_addc(&t->out, ':');
}

static void put_text(struct types *t, const char *key, struct slice text)
{
    json_put_str(&t->out, key);
    sbuf_addc(&t->out, ':');
    json_put_string(&t->out, text);
}

static void put_parsing_structure(struct types *t, const struct kidl_node *node)
{
    AUTO_SBUF(tree, SBUF_NO_LIMIT);

    kidl_parsing_structure(kidl_reload(node, &t->arena), &tree);
    put_text(t, "parsing_structure", sbuf_slice(&tree));
}

static int put_type(struct types *t, const struct kidl_module *module, const struct kidl_component *c,
                    struct err *err)
{
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    char md5[MD5_HEX + 1];
    int rc = kidl_schema(c->type.node, &t->limits, &schema, err);

    if (rc < 0)
        return rc;
    md5_hex(sbuf_slice(&schema), md5);
    put_name(t, module, c->type.name);
    sbuf_addc(&t->out, '{');
    put_text(t, "json_schema", sbuf_slice(&schema));
    sbuf_addc(&t->out, ',');
    put_text(t, "md5", slice_str(md5));
    sbuf_addc(&t->out, ',');
    put_parsing_structure(t, c->type.node);
    sbuf_addc(&t->out, '}');
    return 0;
}

static int put_func(struct types *t, const struct kidl_module *module, const struct kidl_component *c,
                    struct err *err UNUSED)
{
    put_name(t, module, c->func.name);
    sbuf_addc(&t->out, '{');
    put_text(t, "authentication", c->func.authentication);
    sbuf_addc(&t->out, ',');
    put_parsing_structure(t, c->func.node);
    sbuf_addc(&t->out, '}');
    return 0;
}

/* All types, or all functions; of equal names only the last. */
static int put_components(struct types *t, bool funcs, struct err *err)
{
    const char *separator = "";
    int rc = 0;

    for (size_t i = 0; i < t->unit->module_count; i++) {
        const struct kidl_module *module = &t->unit->modules[i];
        for (size_t k = 0; k < module->component_count && rc == 0; k++) {
            if (module->components[k].is_func != funcs || !is_last_of_name(module, k))
                continue;
            sbuf_adds(&t->out, separator);
            separator = ",";
            rc = (funcs ? put_func : put_type)(t, module, &module->components[k], err);
        }
    }
    return rc;
}

static int put_module(struct types *t, const struct kidl_module *module, struct err *err)
{
    char md5[MD5_HEX + 1];
    int rc = kidl_module_md5(module, &t->limits, md5, err);

    if (rc < 0)
        return rc;
    sbuf_addc(&t->out, '{');
    put_text(t, "name", module->name);
    sbuf_addc(&t->out, ',');
    put_text(t, "service", module->service);
    sbuf_addc(&t->out, ',');
    put_text(t, "comment", module->comment);
    sbuf_addc(&t->out, ',');
    put_text(t, "md5", slice_str(md5));
    sbuf_addc(&t->out, '}');
    return 0;
}

static int put_json(struct types *t, struct err *err)
{
    sbuf_adds(&t->out, "{\"types\":{");
    int rc = put_components(t, false, err);
    sbuf_adds(&t->out, "},\"functions\":{");
    if (rc == 0)
        rc = put_components(t, true, err);
    sbuf_adds(&t->out, "},\"modules\":[");
    for (size_t i = 0; i < t->unit->module_count && rc == 0; i++) {
        sbuf_adds(&t->out, i ? "," : "");
        rc = put_module(t, &t->unit->modules[i], err);
    }
    sbuf_adds(&t->out, "]}\n");
    return rc;
}

/* For people. */

static int put_schemas(struct types *t, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < t->unit->module_count; i++) {
        const struct kidl_module *module = &t->unit->modules[i];
        for (size_t k = 0; k < module->component_count && rc == 0; k++) {
            if (module->components[k].is_func || !is_last_of_name(module, k))
                continue;
            sbuf_add_slice(&t->out, module->name);
            sbuf_addc(&t->out, '.');
            sbuf_add_slice(&t->out, module->components[k].type.name);
            sbuf_addc(&t->out, '\n');
            rc = kidl_schema(module->components[k].type.node, &t->limits, &t->out, err);
            sbuf_addc(&t->out, '\n');
        }
    }
    return rc;
}

/* Upstream's texts say `... at line L, column C`: the first such place is in this file. */
static void print_error(const char *file, const struct err *err)
{
    const char *text = err_text(err), *at = strstr(text, "at line ");
    size_t line, column;

    if (at && sscanf(at, "at line %zu, column %zu", &line, &column) == 2)
        fprintf(stderr, "%s:%zu:%zu: %s\n", file, line, column, text);
    else
        fprintf(stderr, "%s: %s\n", file, text);
}

static void print_json_error(const struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_adds(&out, "{\"error\":");
    json_put_string(&out, slice_of(err->text, err->len));
    sbuf_adds(&out, "}\n");
    fwrite(out.p, 1, out.len, stdout);
}

/* The compiler. */

static int read_spec(const char *path, struct arena *arena, struct slice *ret_text, struct err *err)
{
    int rc = spec_file_read(path, arena, ret_text);

    return rc < 0 ? err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(-rc)) : 0;
}

static int check_modules(const struct kidl_unit *unit, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < unit->module_count && rc == 0; i++)
        rc = kidl_check_reload(&unit->modules[i], err);
    return rc;
}

static int compile(const struct options *options, struct err *err)
{
    AUTO_ARENA(arena);
    struct kidl_unit unit;
    struct types t = { .unit = &unit, .limits = KIDL_LIMITS_DEFAULT, .out = SBUF_INIT(SBUF_NO_LIMIT) };
    struct includes includes = { options->include, &arena };
    struct slice text;
    int rc = read_spec(options->file, &arena, &text, err);

    if (rc == 0)
        rc = kidl_compile(text, find_include, &includes, &t.limits, &arena, &unit, NULL, err);
    if (rc == 0)
        rc = check_modules(&unit, err);
    if (rc == 0)
        rc = options->json ? put_json(&t, err) : put_schemas(&t, err);
    if (rc == 0 && t.out.len)
        fwrite(t.out.p, 1, t.out.len, stdout);
    sbuf_release(&t.out);
    arena_release(&t.arena);
    return rc;
}

/* Returns 0 to go on, else the exit status plus one. */
static int read_options(int argc, char **argv, struct options *ret_options)
{
    static const struct option list[] = {
        { "json", no_argument, NULL, 'j' },
        { "include", required_argument, NULL, 'I' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "jI:h", list, NULL)) >= 0) {
        if (option == 'j') {
            ret_options->json = true;
        } else if (option == 'I') {
            ret_options->include = optarg;
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return 1 + (option == 'h' ? EXIT_SUCCESS : EXIT_USAGE);
        }
    }
    if (optind + 1 != argc) {
        fputs(usage, stderr);
        return 1 + EXIT_USAGE;
    }
    ret_options->file = argv[optind];
    return 0;
}

int cmd_compile(int argc, char **argv)
{
    AUTO_ERR(err);
    struct options options = { 0 };
    int status = read_options(argc, argv, &options);

    if (status > 0)
        return status - 1;
    if (compile(&options, &err) == 0)
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (options.json)
        print_json_error(&err);
    else
        print_error(options.file, &err);
    fflush(stdout);
    return EXIT_FAILURE;
}
