#include "tws/kidl/comment.h"

#include "shared/base/sbuf.h"

enum { DELIMITER = 2 };

bool line_next(struct slice *rest, struct slice *ret_line)
{
    size_t n = 0;

    if (rest->n == 0)
        return false;
    while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
        n++;
    *ret_line = slice_of(rest->p, n);
    if (n < rest->n)
        n += rest->p[n] == '\r' && n + 1 < rest->n && rest->p[n + 1] == '\n' ? 2 : 1;
    *rest = slice_of(rest->p + n, rest->n - n);
    return true;
}

static size_t leading_blanks(struct slice line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

/* Takes `base` units off, if they are all blanks or controls. */
static struct slice outdent(struct slice line, size_t base)
{
    if (line.n < base)
        return line;
    for (size_t i = 0; i < base; i++)
        if ((unsigned char)line.p[i] > ' ')
            return line;
    return slice_of(line.p + base, line.n - base);
}

static bool is_edge(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void expand_tabs(struct slice s, struct sbuf *out)
{
    while (s.n) {
        const char *tab = memchr(s.p, '\t', s.n);
        size_t n = tab ? (size_t)(tab - s.p) : s.n;
        sbuf_add(out, s.p, n);
        if (tab)
            sbuf_adds(out, "        ");
        n += tab != NULL;
        s = slice_of(s.p + n, s.n - n);
    }
}

struct slice comment_normalise(struct slice raw, struct arena *arena)
{
    AUTO_SBUF(expanded, SBUF_NO_LIMIT);
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    struct slice line;
    size_t base = 0;

    if (!raw.p)
        return SLICE("");
    expand_tabs(slice_of(raw.p + DELIMITER, raw.n - 2 * DELIMITER), &expanded);
    struct slice rest = sbuf_slice(&expanded);
    for (size_t number = 0; line_next(&rest, &line); number++) {
        if (number == 1)
            base = leading_blanks(line);
        sbuf_add_slice(&out, outdent(line, base));
        sbuf_addc(&out, '\n');
    }
    struct slice all = sbuf_slice(&out);
    while (all.n && is_edge(all.p[0]))
        all = slice_of(all.p + 1, all.n - 1);
    while (all.n && is_edge(all.p[all.n - 1]))
        all.n--;
    return arena_slice(arena, all);
}
