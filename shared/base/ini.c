#include "shared/base/ini.h"

#include "shared/base/sbuf.h"
#include "shared/base/utf.h"

struct reader {
    struct slice rest;
    size_t line; /* number of the last line read */
    struct sbuf joined;
    struct arena *arena;
};

static int parse_error(const struct reader *r, const char *why, struct err *err)
{
    return err_set(err, ERR_CONFIG, "parse error (at line: %zu): %s", r->line, why);
}

/* Lines end with \n, \r or both. */
static bool next_raw_line(struct reader *r, struct slice *ret_line)
{
    size_t n = 0, skip;

    if (r->rest.n == 0)
        return false;
    while (n < r->rest.n && r->rest.p[n] != '\n' && r->rest.p[n] != '\r')
        n++;
    *ret_line = slice_of(r->rest.p, n);
    skip = n < r->rest.n;
    if (skip && r->rest.p[n] == '\r' && n + 1 < r->rest.n && r->rest.p[n + 1] == '\n')
        skip = 2;
    r->rest = slice_of(r->rest.p + n + skip, r->rest.n - n - skip);
    r->line++;
    return true;
}

static bool ends_with_escape(struct slice line)
{
    size_t n = 0;

    while (n < line.n && line.p[line.n - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

/* The next line that says something, trimmed, with those that a backslash joins to it. */
static bool next_line(struct reader *r, struct slice *ret_line)
{
    struct slice line;

    sbuf_reset(&r->joined);
    while (next_raw_line(r, &line)) {
        line = utf_trim(line);
        if (line.n == 0 || (r->joined.len == 0 && (line.p[0] == '#' || line.p[0] == ';')))
            continue;
        if (!ends_with_escape(line)) {
            sbuf_add_slice(&r->joined, line);
            break;
        }
        sbuf_add(&r->joined, line.p, line.n - 1);
    }
    *ret_line = sbuf_slice(&r->joined);
    return ret_line->n > 0;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static const struct escape {
    char letter;
    char stands_for; /* NUL: a character by its number */
    int digits, base;
} escapes[] = {
    { 't', '\t', 0, 0 }, { 'n', '\n', 0, 0 }, { 'f', '\f', 0, 0 }, { 'b', '\b', 0, 0 },
    { 'r', '\r', 0, 0 }, { 'x', 0, 2, 16 },   { 'o', 0, 3, 8 },    { 'u', 0, 4, 16 },
};

/* Decodes what follows a backslash; returns how many bytes that was, 0 if it is not valid. */
static size_t unescape_one(struct slice in, struct sbuf *out)
{
    const struct escape *e = escapes;
    uint32_t value = 0;

    while (e < escapes + ARRAY_LEN(escapes) && e->letter != in.p[0])
        e++;
    if (e == escapes + ARRAY_LEN(escapes) || e->stands_for) {
        sbuf_addc(out, e == escapes + ARRAY_LEN(escapes) ? in.p[0] : e->stands_for);
        return 1;
    }
    if (in.n < 1 + (size_t)e->digits)
        return 0;
    for (int i = 1; i <= e->digits; i++) {
        int digit = digit_value(in.p[i]);
        if (digit >= e->base)
            return 0;
        value = value * (uint32_t)e->base + (uint32_t)digit;
    }
    utf_put(out, value);
    return 1 + (size_t)e->digits;
}

/* Unescaped first and trimmed then, as the original does. */
static int unescape(const struct reader *r, struct slice in, struct slice *ret_text, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '\\') {
            sbuf_addc(&out, in.p[i]);
            continue;
        }
        size_t used = i + 1 < in.n ? unescape_one(slice_of(in.p + i + 1, in.n - i - 1), &out) : 0;
        if (used == 0)
            return parse_error(r, "a backslash that is followed by no valid escape", err);
        i += used;
    }
    struct slice text = utf_trim(sbuf_slice(&out));
    *ret_text = slice_of(arena_memdup(r->arena, text.p, text.n), text.n);
    return 0;
}

static int read_header(const struct reader *r, struct slice line, struct slice *ret_name, struct err *err)
{
    struct slice name;

    if (line.p[line.n - 1] != ']')
        return parse_error(r, "a section header without ]", err);
    int rc = line.n < 2 ? 0 : unescape(r, utf_trim(slice_of(line.p + 1, line.n - 2)), &name, err);
    if (rc < 0)
        return rc;
    if (line.n < 2 || name.n == 0)
        return parse_error(r, "a section without a name", err);
    *ret_name = name;
    return 0;
}

static int read_pair(const struct reader *r, struct slice line, struct ini_pair *ret_pair, struct err *err)
{
    struct ini_pair pair = { .line = r->line };
    size_t at = 0;
    int rc;

    while (at < line.n && line.p[at] != '=' && line.p[at] != ':')
        at++;
    if (at == line.n)
        return parse_error(r, "a line without = or :", err);
    if ((rc = unescape(r, slice_of(line.p, at), &pair.key, err)) < 0 ||
        (rc = unescape(r, slice_of(line.p + at + 1, line.n - at - 1), &pair.value, err)) < 0)
        return rc;
    if (pair.key.n == 0)
        return parse_error(r, "a line without a key", err);
    *ret_pair = pair;
    return 0;
}

static void add_pair(struct ini_section *section, struct arena *arena, const struct ini_pair *pair)
{
    size_t n = section->count;

    /* the array doubles whenever its length is a power of two */
    if ((n & (n - 1)) == 0) {
        struct ini_pair *pairs = arena_alloc(arena, (n ? 2 * n : 1) * sizeof(*pairs));
        if (n)
            memcpy(pairs, section->pairs, n * sizeof(*pairs));
        section->pairs = pairs;
    }
    section->pairs[section->count++] = *pair;
}

static int read_lines(struct reader *r, const char *wanted, struct ini_section *section, struct err *err)
{
    struct slice line, name = { "", 0 };
    size_t total = 0;
    int rc;

    while (next_line(r, &line)) {
        struct ini_pair pair;
        if (line.p[0] == '[') {
            if ((rc = read_header(r, line, &name, err)) < 0)
                return rc;
            section->found = section->found || slice_is(name, wanted);
            continue;
        }
        if (name.n == 0)
            return parse_error(r, "text before the first section", err);
        if (++total > INI_MAX_PAIRS)
            return parse_error(r, "too many lines", err);
        if ((rc = read_pair(r, line, &pair, err)) < 0)
            return rc;
        if (slice_is(name, wanted))
            add_pair(section, r->arena, &pair);
    }
    return 0;
}

int ini_read(struct slice text, const char *section, struct arena *arena, struct ini_section *ret_section,
             struct err *err)
{
    struct reader r = { .rest = text, .joined = SBUF_INIT(SBUF_NO_LIMIT), .arena = arena };
    struct ini_section found = { .found = false };

    if (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
        r.rest = slice_of(text.p + 3, text.n - 3);
    int rc = read_lines(&r, section, &found, err);
    if (rc == 0)
        *ret_section = found;
    sbuf_release(&r.joined);
    return rc;
}
