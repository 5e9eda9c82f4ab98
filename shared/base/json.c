#include "shared/base/json.h"

#include "shared/base/utf.h"

#define SOURCE "[Source: (InputStreamReader); "

struct frame {
    struct json_val *container; /* NULL: inside of what is not kept */
    struct json_val *last;      /* newest child that is kept */
    enum json_kind kind;
    size_t begin;
    bool has_child;
};

struct parser {
    struct slice text;
    size_t at;
    const struct json_limits *limits;
    struct arena *arena;
    struct err *err;
    size_t nodes;
    struct frame *stack;
    size_t depth;
    size_t cap;
    struct slice unread; /* key of a member of the outermost object that is not kept; p NULL: none */
    size_t unread_depth; /* while inside of it: the depth of its container */
};

/* Errors. */

void json_position(struct slice text, size_t offset, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, units = 0, used;

    for (size_t i = 0; i < offset && i < text.n; i += used) {
        uint32_t cp = utf_decode_strict(text.p + i, text.n - i, &used);
        if (cp == '\n' || cp == '\r') {
            if (cp == '\r' && i + 1 < offset && text.p[i + 1] == '\n')
                used++;
            line++;
            units = 0;
        } else {
            units += cp >= 0x10000 ? 2 : 1;
        }
    }
    *ret_line = line;
    *ret_column = units + 1;
}

static void put_location(struct parser *p, struct sbuf *out, size_t offset, size_t more_columns)
{
    size_t line, column;

    json_position(p->text, offset, &line, &column);
    sbuf_addf(out, SOURCE "line: %zu, column: %zu]", line, column + more_columns);
}

/* An error where `offset` has been read. */
static int fail_at(struct parser *p, size_t offset, const char *text)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_adds(&out, text);
    sbuf_adds(&out, "\n at ");
    put_location(p, &out, offset, 0);
    return err_set_text(p->err, ERR_PARSE, sbuf_slice(&out));
}

static void put_char_text(struct parser *p, struct sbuf *out, size_t offset)
{
    size_t used;
    uint32_t cp = utf_decode_strict(p->text.p + offset, p->text.n - offset, &used);

    json_put_code(out, cp);
}

/* `before<the char at offset>after`, an error where the byte at `stop` has been read */
static int fail_char_at(struct parser *p, size_t offset, size_t stop, const char *before, const char *after)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_adds(&out, before);
    put_char_text(p, &out, offset);
    sbuf_addf(&out, "%s\n at ", after);
    put_location(p, &out, stop, 1);
    return err_set_text(p->err, ERR_PARSE, sbuf_slice(&out));
}

static int fail_char(struct parser *p, size_t offset, const char *before, const char *after)
{
    return fail_char_at(p, offset, offset, before, after);
}

/* what: begins with the closing parenthesis */
static int fail_unexpected(struct parser *p, size_t offset, const char *what)
{
    return fail_char(p, offset, "Unexpected character (", what);
}

/* The same at p->at, between tokens. */
static int fail_between(struct parser *p, const char *expected)
{
    const char *before, *after = json_odd_text((unsigned char)p->text.p[p->at], expected, &before);

    return fail_char(p, p->at, before, after);
}

/* Texts. */

const char *json_odd_text(unsigned char c, const char *expected, const char **ret_before)
{
    *ret_before = "Unexpected character (";
    if (c == '/')
        return "): maybe a (non-standard) comment? (not recognized as one since Feature 'ALLOW_COMMENTS' not "
               "enabled for parser)";
    if (c == '}' && !strcmp(expected, JSON_NO_VALUE))
        return "): expected a value";
    if (c >= ' ')
        return expected;
    *ret_before = "Illegal character (";
    return "): only regular white space (\\r, \\n, \\t) is allowed between tokens";
}

size_t json_number_stop(struct slice number)
{
    size_t i = number.n && number.p[0] == '-';

    if (i < number.n && number.p[i] == '0')
        return number.n;
    while (i < number.n && number.p[i] >= '0' && number.p[i] <= '9')
        i++;
    return i;
}

/* Those that are values, and those that would be if Jackson were told so. */
static const char *const words[] = { "null", "true",      "false", "NaN",      "Infinity",
                                     "-INF", "-Infinity", "+INF",  "+Infinity" };

bool json_is_word(struct slice word)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(word, words[i]))
            return true;
    return false;
}

size_t json_put_bad_word(struct sbuf *out, struct slice word)
{
    bool is_number = json_is_word(word);
    size_t begin;

    sbuf_adds(out, is_number ? "Non-standard token '" : "Unrecognized token '");
    begin = out->len;
    utf_repair(word, out);
    size_t columns = utf_units(slice_of(out->p + begin, out->len - begin));
    if (word.n == JSON_MAX_QUOTED)
        sbuf_adds(out, "...");
    sbuf_adds(out, is_number ? "': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"
                   : strchr("ntfNI+-", word.p[0]) ? "': was expecting 'null', 'true', 'false' or NaN"
                                                  : "': was expecting ('true', 'false' or 'null')");
    return columns;
}

static const char *type_name(const struct frame *f)
{
    return f->kind == JSON_KIND_OBJECT ? "Object" : "Array";
}

static int fail_eof_inside(struct parser *p)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    const struct frame *f = &p->stack[p->depth - 1];

    sbuf_addf(&out, "Unexpected end-of-input: expected close marker for %s (start marker at ", type_name(f));
    put_location(p, &out, f->begin, 0);
    sbuf_adds(&out, ")");
    return fail_at(p, p->text.n, out.p);
}

static int fail_close(struct parser *p, size_t offset)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    const struct frame *f = &p->stack[p->depth - 1];

    sbuf_addf(&out, "Unexpected close marker '%c': expected '%c' (for %s starting at ", p->text.p[offset],
              f->kind == JSON_KIND_OBJECT ? '}' : ']', type_name(f));
    put_location(p, &out, f->begin, 0);
    sbuf_adds(&out, ")");
    return fail_at(p, offset + 1, out.p);
}

/* Strings. */

/* Bytes that end a run of plain string bytes: quote, backslash, controls, and all that is not ASCII. */
static bool is_special(unsigned char b)
{
    return b < 0x20 || b == '"' || b == '\\' || b >= 0x80;
}

static size_t plain_run(const char *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t i = 0;
    uint64_t w;

    for (; i + sizeof(w) <= n; i += sizeof(w)) {
        memcpy(&w, p + i, sizeof(w));
        uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
        if ((w | (w - ones * 0x20) | (quote - ones) | (back - ones)) & highs)
            break;
    }
    while (i < n && !is_special((unsigned char)p[i]))
        i++;
    return i;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at `at`; their value or -1. */
static int32_t read_hex4(struct slice text, size_t at)
{
    int32_t value = 0;

    for (size_t i = at; i < at + 4; i++) {
        int digit = i < text.n ? hex_digit(text.p[i]) : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Checks the escape at `at` (of the backslash) and gives the offset behind it. */
static int check_escape(struct parser *p, size_t at, size_t *ret_next)
{
    if (at + 1 >= p->text.n)
        return fail_at(p, p->text.n, "Unexpected end-of-input in character escape sequence");
    char c = p->text.p[at + 1];
    if (c != 'u') {
        if (!c || !strchr("\"\\/bfnrt", c))
            return fail_char(p, at + 1, "Unrecognized character escape ", "");
        *ret_next = at + 2;
        return 0;
    }
    for (size_t i = at + 2; i < at + 6; i++) {
        if (i >= p->text.n)
            return fail_at(p, p->text.n, "Unexpected end-of-input in character escape sequence");
        if (hex_digit(p->text.p[i]) < 0)
            return fail_unexpected(p, i, "): expected a hex-digit for character escape sequence");
    }
    *ret_next = at + 6;
    return 0;
}

/* One escape that check_escape() let pass; *at moves behind it. */
static uint32_t read_escape(struct slice text, size_t *at)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = text.p[*at + 1];

    if (c != 'u') {
        const char *found = strchr(from, c);
        *at += 2;
        return (uint32_t)(found ? to[found - from] : c);
    }
    int32_t unit = read_hex4(text, *at + 2);
    *at += 6;
    if (utf_is_high((uint32_t)unit) && *at + 6 <= text.n && text.p[*at] == '\\' && text.p[*at + 1] == 'u') {
        int32_t low = read_hex4(text, *at + 2);
        if (low >= 0 && utf_is_low((uint32_t)low)) {
            *at += 6;
            return utf_join((uint32_t)unit, (uint32_t)low);
        }
    }
    return (uint32_t)unit;
}

/* The inside of a string, which was checked, with escapes undone and malformed bytes replaced. */
static struct slice unescape(struct parser *p, struct slice raw, size_t room)
{
    char *out = arena_alloc(p->arena, room + 1);
    size_t n = 0, used;

    for (size_t i = 0; i < raw.n;) {
        size_t run = plain_run(raw.p + i, raw.n - i);
        memcpy(out + n, raw.p + i, run);
        n += run;
        i += run;
        if (i == raw.n)
            break;
        if (raw.p[i] == '\\') {
            n += utf_encode(read_escape(raw, &i), out + n);
        } else {
            n += utf_encode(utf_decode_strict(raw.p + i, raw.n - i, &used), out + n);
            i += used;
        }
    }
    out[n] = '\0';
    return slice_of(out, n);
}

/* Reads a string whose opening quote stands at p->at. */
static int read_string(struct parser *p, bool is_name, struct slice *ret_text)
{
    size_t begin = p->at + 1, at = begin, used;
    size_t grown = 0; /* bytes that replacements add */
    bool copy = false;
    int rc;

    for (;;) {
        at += plain_run(p->text.p + at, p->text.n - at);
        if (at >= p->text.n)
            return fail_at(p, p->text.n,
                           is_name
                               ? "Unexpected end-of-input in field name"
                               : "Unexpected end-of-input: was expecting closing quote for a string value");
        unsigned char b = (unsigned char)p->text.p[at];
        if (b == '"')
            break;
        if (b < 0x20)
            return fail_char(p, at, "Illegal unquoted character (",
                             is_name ? "): has to be escaped using backslash to be included in name"
                                     : "): has to be escaped using backslash to be included in string value");
        if (b == '\\') {
            copy = true;
            if ((rc = check_escape(p, at, &at)))
                return rc;
            continue;
        }
        if (utf_decode_strict(p->text.p + at, p->text.n - at, &used) == 0xfffd) {
            copy = true;
            grown += 3 - (used < 3 ? used : 3);
        }
        at += used;
    }
    struct slice raw = slice_of(p->text.p + begin, at - begin);
    *ret_text = copy && !p->unread_depth ? unescape(p, raw, raw.n + grown) : raw;
    p->at = at + 1;
    return 0;
}

/* Numbers and words. */

static size_t digits(struct parser *p, size_t at)
{
    while (at < p->text.n && p->text.p[at] >= '0' && p->text.p[at] <= '9')
        at++;
    return at;
}

/* The number at p->at ends before `at`, where a digit is missing. */
static int no_digit(struct parser *p, size_t at, const char *what)
{
    if (at >= p->text.n)
        return fail_at(p, p->text.n, JSON_EOF_NUMBER);
    size_t stop = json_number_stop(slice_of(p->text.p + p->at, at - p->at));
    return fail_char_at(p, at, p->at + stop, "Unexpected character (", what);
}

static int read_word(struct parser *p, struct json_val *val)
{
    static const enum json_kind kinds[] = {
        ['n'] = JSON_KIND_NULL, ['t'] = JSON_KIND_TRUE, ['f'] = JSON_KIND_FALSE
    };
    const char *begin = p->text.p + p->at;
    size_t left = p->text.n - p->at, n = json_plain_word(begin, left);

    if (n) {
        val->kind = kinds[(unsigned char)*begin];
        p->at += n;
        return 0;
    }
    if (*begin == '+' || *begin == '-') {
        for (n = 1; n < 3; n++) {
            if (n == left)
                return fail_at(p, p->text.n, JSON_EOF_SIGN);
            if (!json_continues_sign(n, begin[n]))
                return fail_unexpected(p, p->at + n, JSON_NO_DIGIT);
        }
    } else if (!json_starts_word((unsigned char)*begin)) {
        return fail_between(p, JSON_NO_VALUE);
    }
    while (n < left && n < JSON_MAX_QUOTED &&
           json_continues_word(slice_of(begin, n), (unsigned char)begin[n]))
        n++;
    if (strchr("ntf", *begin) && json_is_word(slice_of(begin, n))) {
        val->kind = kinds[(unsigned char)*begin];
        p->at += n;
        return 0;
    }
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    size_t columns = json_put_bad_word(&text, slice_of(begin, n));
    sbuf_adds(&text, "\n at ");
    /* behind what is quoted, also where that ends within a character */
    put_location(p, &text, p->at, columns);
    return err_set_text(p->err, ERR_PARSE, sbuf_slice(&text));
}

static int read_number(struct parser *p, struct json_val *val)
{
    size_t begin = p->at, at = begin + (p->text.p[begin] == '-'), end = digits(p, at);

    if (end == at)
        return at < p->text.n ? read_word(p, val) : no_digit(p, at, JSON_NO_DIGIT);
    if (p->text.p[at] == '0' && end > at + 1)
        return fail_at(p, at + 1, "Invalid numeric value: Leading zeroes not allowed");
    val->kind = JSON_KIND_INT;
    if (end < p->text.n && p->text.p[end] == '.') {
        val->kind = JSON_KIND_FLOAT;
        at = end + 1;
        end = digits(p, at);
        if (end == at)
            return no_digit(p, at, JSON_NO_FRACTION);
    }
    if (end < p->text.n && (p->text.p[end] | 0x20) == 'e') {
        val->kind = JSON_KIND_FLOAT;
        at = end + 1;
        at += at < p->text.n && (p->text.p[at] == '+' || p->text.p[at] == '-');
        end = digits(p, at);
        if (end == at)
            return no_digit(p, at, JSON_NO_EXPONENT);
    }
    val->text = slice_of(p->text.p + begin, end - begin);
    p->at = end;
    return 0;
}

/* Structure. */

static void skip_space(struct parser *p)
{
    while (p->at < p->text.n) {
        char c = p->text.p[p->at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return;
        p->at++;
    }
}

/* val: kept, or only to be looked at now. */
static int push(struct parser *p, struct json_val *val)
{
    if (p->depth >= p->limits->max_depth) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        sbuf_addf(&text, "Containers are nested more than %zu deep", p->limits->max_depth);
        return fail_at(p, p->at, text.p);
    }
    if (p->depth == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 32;
        p->stack = xrealloc(p->stack, p->cap * sizeof(*p->stack));
    }
    p->stack[p->depth++] = (struct frame){ p->unread_depth ? NULL : val, NULL, val->kind, val->begin, false };
    if (p->depth == 2 && p->unread.p && p->stack[0].kind == JSON_KIND_OBJECT && slice_eq(val->key, p->unread))
        p->unread_depth = p->depth;
    return 0;
}

/* Hangs a value into the innermost container. */
static void attach(struct parser *p, struct json_val *val)
{
    if (!p->depth)
        return;
    struct frame *f = &p->stack[p->depth - 1];
    f->has_child = true;
    if (f->container)
        f->container->count++;
    if (p->unread_depth)
        return;
    if (f->last)
        f->last->next = val;
    else
        f->container->first = val;
    f->last = val;
}

static int read_kind(struct parser *p, struct json_val *val)
{
    char c = p->text.p[p->at];

    if (c == '"') {
        val->kind = JSON_KIND_STRING;
        return read_string(p, false, &val->text);
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(p, val);
    if (c != '{' && c != '[')
        return read_word(p, val);
    val->kind = c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
    p->at++;
    return push(p, val);
}

static int read_unread(struct parser *p)
{
    struct json_val val = { .begin = p->at };

    attach(p, &val);
    return read_kind(p, &val);
}

/* Reads a scalar, or opens a container, whose children come later. */
static int read_value(struct parser *p, struct slice key, struct json_val **ret_val)
{
    if (p->unread_depth)
        return read_unread(p);
    if (++p->nodes > p->limits->max_nodes) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        sbuf_addf(&text, "More than %zu values", p->limits->max_nodes);
        return fail_at(p, p->at, text.p);
    }
    struct json_val *val = arena_zalloc(p->arena, sizeof(*val));

    val->key = key;
    val->begin = p->at;
    attach(p, val);
    *ret_val = val;
    int rc = read_kind(p, val);
    val->end = p->at;
    return rc;
}

static void pop(struct parser *p)
{
    p->at++;
    if (p->depth == p->unread_depth)
        p->unread_depth = 0;
    struct json_val *container = p->stack[--p->depth].container;
    if (container)
        container->end = p->at;
}

/* A key and its colon. */
static int read_key(struct parser *p, struct slice *ret_key)
{
    int rc;

    if (p->at >= p->text.n)
        return fail_eof_inside(p);
    if (p->text.p[p->at] != '"')
        return fail_between(p, JSON_NO_NAME);
    if ((rc = read_string(p, true, ret_key)))
        return rc;
    skip_space(p);
    if (p->at >= p->text.n)
        return fail_at(p, p->text.n, "Unexpected end-of-input within/between Object entries");
    if (p->text.p[p->at] != ':')
        return fail_between(p, JSON_NO_COLON);
    p->at++;
    skip_space(p);
    return 0;
}

/* The next child of the innermost container, or its end. */
static int step(struct parser *p)
{
    struct frame *f = &p->stack[p->depth - 1];
    bool in_object = f->kind == JSON_KIND_OBJECT;
    struct slice key = { NULL, 0 };
    struct json_val *val;
    int rc;

    skip_space(p);
    if (p->at >= p->text.n)
        return fail_eof_inside(p);
    char c = p->text.p[p->at];
    if (c == '}' || c == ']') {
        if ((c == '}') != in_object)
            return fail_close(p, p->at);
        pop(p);
        return 0;
    }
    if (f->has_child) {
        if (c != ',')
            return fail_between(p, in_object ? JSON_NO_COMMA_OBJECT : JSON_NO_COMMA_ARRAY);
        p->at++;
        skip_space(p);
    }
    if (in_object && (rc = read_key(p, &key)))
        return rc;
    if (p->at >= p->text.n)
        return fail_eof_inside(p);
    return read_value(p, key, &val);
}

int json_read(struct slice text, const struct json_limits *limits, struct arena *arena,
              struct json_val **ret_val, size_t *ret_end, struct err *err)
{
    return json_read_outline(text, limits, NULL, arena, ret_val, ret_end, err);
}

int json_read_outline(struct slice text, const struct json_limits *limits, const char *unread,
                      struct arena *arena, struct json_val **ret_val, size_t *ret_end, struct err *err)
{
    struct parser p = { .text = text, .limits = limits, .arena = arena, .err = err };
    struct json_val *val = NULL;

    if (unread)
        p.unread = slice_str(unread);

    skip_space(&p);
    if (p.at >= text.n)
        return err_set(err, ERR_PARSE,
                       "No content to map due to end-of-input\n at " SOURCE "line: 1, column: 0]");
    int rc = read_value(&p, slice_of(NULL, 0), &val);
    while (!rc && p.depth)
        rc = step(&p);
    free(p.stack);
    if (rc)
        return rc;
    *ret_val = val;
    if (ret_end)
        *ret_end = p.at;
    return 0;
}

const struct json_val *json_member(const struct json_val *object, const char *key)
{
    struct slice wanted = slice_str(key);
    const struct json_val *found = NULL;

    for (const struct json_val *m = object->first; m; m = m->next)
        if (slice_eq(m->key, wanted))
            found = m;
    return found;
}

/* A member and its place, for sorting. */
struct placed {
    const struct json_val *val;
    size_t place;
};

static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    size_t n = x->val->key.n < y->val->key.n ? x->val->key.n : y->val->key.n;
    int c = n ? memcmp(x->val->key.p, y->val->key.p, n) : 0;

    if (c)
        return c;
    if (x->val->key.n != y->val->key.n)
        return x->val->key.n < y->val->key.n ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

size_t json_distinct(const struct json_val *object, struct arena *arena, const struct json_val ***ret_members)
{
    size_t n = object->count, i = 0, kept = 0;
    const struct json_val **at = arena_zalloc(arena, (n + 1) * sizeof(const struct json_val *));
    struct placed *all = xcalloc(n + 1, sizeof(*all));

    for (const struct json_val *m = object->first; m; m = m->next, i++)
        all[i] = (struct placed){ m, i };
    qsort(all, n, sizeof(*all), compare_placed);
    for (i = 0; i < n;) {
        size_t place = all[i].place;
        while (i + 1 < n && slice_eq(all[i].val->key, all[i + 1].val->key))
            i++;
        at[place] = all[i++].val;
    }
    free(all);
    for (i = 0; i < n; i++)
        if (at[i])
            at[kept++] = at[i];
    *ret_members = at;
    return kept;
}
