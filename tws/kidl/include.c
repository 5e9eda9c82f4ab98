#include "shared/base/utf.h"
#include "tws/kidl/diag.h"
#include "tws/kidl/parse.h"

/* What an included document defines. It is parsed once, because each parse of it gives the same. */
struct included {
    bool is_ready; /* else it is being parsed */
    struct names modules;
    struct slice comment;
};

static struct slice drop(struct slice s, size_t n)
{
    return utf_trim(slice_of(s.p + n, s.n - n));
}

static struct slice behind_last(struct slice s, char separator)
{
    const char *at = s.n ? memrchr(s.p, separator, s.n) : NULL;

    return at ? drop(s, (size_t)(at - s.p) + 1) : s;
}

/* `#include <a/b\Name.ext>` -> Name */
static struct slice module_name(struct slice literal)
{
    struct slice s = drop(literal, sizeof("#include") - 1);

    s = drop(s, 1);
    s = utf_trim(slice_of(s.p, s.n - 1));
    s = behind_last(behind_last(s, '/'), '\\');
    const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
    return dot ? utf_trim(slice_of(s.p, (size_t)(dot - s.p))) : s;
}

static int find_text(struct document *d, struct slice name, struct slice literal, struct slice *ret_text)
{
    struct compiler *c = d->compiler;
    int rc = c->include ? c->include(c->include_ctx, name, ret_text, c->err) : -ERR_NO_MODULE;

    if (rc == -ERR_NO_MODULE && (!c->err || !c->err->text))
        return diag_place(
            c->err, d->last.place,
            DIAG(c->err, SLICE("Can not find included module ["), name, SLICE("] from line: "), literal));
    return rc;
}

static int check_limits(struct compiler *c)
{
    if (c->include_depth >= c->limits->max_include_depth)
        return diag_limit(c->err, "Includes are nested deeper", c->limits->max_include_depth,
                          "max_include_depth");
    if (c->document_count >= c->limits->max_includes)
        return diag_limit(c->err, "There are more included documents", c->limits->max_includes,
                          "max_includes");
    return 0;
}

static int fail_inside(struct document *d, struct slice name, int rc)
{
    struct compiler *c = d->compiler;

    if (rc == -ERR_LIMIT && !c->is_limit_placed) {
        err_prefix(c->err, "In module %.*s: ", (int)name.n, name.p);
        c->is_limit_placed = true;
    }
    /* upstream wraps only what its parser threw itself */
    if (rc != -ERR_SPEC || c->is_lexical || c->is_java_exception)
        return rc;
    err_prefix(c->err, "Error parsing spec-document of module [%.*s]: ", (int)name.n, name.p);
    return diag_place(c->err, d->last.place, rc);
}

static int parse_included(struct document *d, struct slice name, struct slice literal,
                          struct included *included)
{
    struct compiler *c = d->compiler;
    struct slice text = { 0 };
    int rc = check_limits(c);

    if (rc == 0)
        rc = find_text(d, name, literal, &text);
    if (rc < 0)
        return rc;
    c->document_count++;
    c->include_depth++;
    rc = document_parse(c, text, &included->modules, &included->comment);
    c->include_depth--;
    if (rc < 0)
        return fail_inside(d, name, rc);
    included->is_ready = true;
    return 0;
}

int document_include(struct document *d, struct slice literal)
{
    struct compiler *c = d->compiler;
    struct slice name = module_name(literal);
    struct included *included = names_get(&c->included, name);

    if (included && !included->is_ready)
        return diag_place(c->err, d->last.place,
                          DIAG(c->err, SLICE("Includes run in a circle: module ["), name,
                               SLICE("] includes itself, directly or through others")));
    if (!included) {
        included = arena_zalloc(c->arena, sizeof(*included));
        names_put(&c->included, c->arena, name, included);
        int rc = parse_included(d, name, literal, included);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < included->modules.count; i++)
        names_put(&d->modules, c->arena, included->modules.entries[i].name,
                  included->modules.entries[i].value);
    /* a comment at the end of the included document is still pending here */
    d->lexer.comment = included->comment;
    return 0;
}
