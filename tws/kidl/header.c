#include "shared/base/utf.h"
#include "tws/kidl/ast.h"
#include "tws/kidl/comment.h"
#include "tws/kidl/diag.h"

#define INCLUDE "#include"

struct header {
    struct arena *arena;
    struct sbuf *out;
    struct slice *names;
    size_t count;
};

static bool is_include(struct slice line)
{
    return line.n >= sizeof(INCLUDE) - 1 && memcmp(line.p, INCLUDE, sizeof(INCLUDE) - 1) == 0;
}

/* `<a/b/Name.ext>` -> Name */
static struct slice path_name(struct slice path)
{
    struct slice s = utf_trim(slice_of(path.p + 1, path.n - 2));
    const char *slash = s.n ? memrchr(s.p, '/', s.n) : NULL;

    if (slash)
        s = slice_of(slash + 1, s.n - (size_t)(slash + 1 - s.p));
    const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
    /* upstream trims what it cuts at a dot, and not what it cuts at a slash */
    return dot ? utf_trim(slice_of(s.p, (size_t)(dot - s.p))) : s;
}

static int rewrite_include(struct header *h, struct slice line, struct err *err)
{
    struct slice path = utf_trim(slice_of(line.p + sizeof(INCLUDE) - 1, line.n - (sizeof(INCLUDE) - 1)));

    if (path.n < 2 || path.p[0] != '<' || path.p[path.n - 1] != '>')
        return DIAG(err, SLICE("Wrong include structure (it should be ...<file_path>): "), path);
    struct slice name = arena_slice(h->arena, path_name(path));
    ARRAY_PUSH(h->arena, h->names, h->count, name);
    sbuf_adds(h->out, INCLUDE " <");
    sbuf_add_slice(h->out, name);
    sbuf_adds(h->out, ".types>\n");
    return 0;
}

/* Writes the lines that are blank or includes; *ret_line becomes the first other one. False if there is none.
 */
static bool rewrite_header(struct header *h, struct slice *rest, struct slice *ret_line, int *ret_rc,
                           struct err *err)
{
    while (line_next(rest, ret_line)) {
        if (utf_trim(*ret_line).n == 0)
            sbuf_addc(h->out, '\n');
        else if (!is_include(*ret_line))
            return true;
        else if ((*ret_rc = rewrite_include(h, *ret_line, err)) < 0)
            return false;
    }
    return false;
}

int kidl_correct_includes(struct slice spec, struct arena *arena, struct slice *ret_text,
                          struct slice **ret_names, size_t *ret_count, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    struct header h = { .arena = arena, .out = &out };
    struct slice rest = spec, line;
    int rc = 0;

    if (!rewrite_header(&h, &rest, &line, &rc, err))
        return rc < 0 ? rc : err_set(err, ERR_SPEC, "null"); /* upstream's null pointer exception */
    do {
        sbuf_add_slice(&out, line);
        sbuf_addc(&out, '\n');
    } while (line_next(&rest, &line));
    *ret_text = arena_slice(arena, sbuf_slice(&out));
    *ret_names = h.names;
    *ret_count = h.count;
    return 0;
}
