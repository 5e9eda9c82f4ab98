#include <math.h>

#include "shared/base/double_text.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"

/* Encodings of a body. */

/* Bytes of one unit of a body; one of n units of `unit` bytes, big or little endian. */
static uint32_t read_unit(const char *p, int unit, bool big)
{
    uint32_t value = 0;

    for (int i = 0; i < unit; i++)
        value |= (uint32_t)(unsigned char)p[i] << 8 * (big ? unit - 1 - i : i);
    return value;
}

/* One code point as Java's decoders read it, malformed ones as U+FFFD. */
static uint32_t read_wide(struct slice left, int unit, bool big, size_t *ret_used)
{
    const uint32_t replacement = 0xfffd;
    size_t bytes = (size_t)unit;

    if (left.n < bytes) {
        *ret_used = left.n;
        return replacement;
    }
    uint32_t cp = read_unit(left.p, unit, big);
    *ret_used = bytes;
    if (unit == 4)
        return cp > 0x10ffff || utf_is_surrogate(cp) ? replacement : cp;
    if (!utf_is_high(cp))
        return utf_is_low(cp) ? replacement : cp;
    /* a high half takes what follows with it, whatever that is */
    if (left.n < 2 * bytes) {
        *ret_used = left.n;
        return replacement;
    }
    *ret_used = 2 * bytes;
    uint32_t low = read_unit(left.p + bytes, unit, big);
    return utf_is_low(low) ? utf_join(cp, low) : replacement;
}

static void recognise(struct slice body, int *ret_unit, bool *ret_big)
{
    static const struct {
        bool zero[4];
        int unit;
        bool big;
    } patterns[] = {
        { { true, true, true, false }, 4, true },
        { { false, true, true, true }, 4, false },
        { { true, false, true, false }, 2, true },
        { { false, true, false, true }, 2, false },
    };

    *ret_unit = 1;
    *ret_big = false;
    for (size_t i = 0; body.n >= 4 && i < ARRAY_LEN(patterns); i++) {
        bool same = true;
        for (size_t k = 0; k < 4; k++)
            same = same && (body.p[k] == 0) == patterns[i].zero[k];
        if (same) {
            *ret_unit = patterns[i].unit;
            *ret_big = patterns[i].big;
            return;
        }
    }
}

struct slice json_to_utf8(struct slice body, struct sbuf *buf, int *ret_unit, bool *ret_big)
{
    size_t used;

    recognise(body, ret_unit, ret_big);
    if (*ret_unit == 1)
        return body;
    for (size_t i = 0; i < body.n; i += used)
        utf_put(buf, read_wide(slice_of(body.p + i, body.n - i), *ret_unit, *ret_big, &used));
    return sbuf_slice(buf);
}

size_t json_raw_offset(struct slice body, int unit, bool big, size_t utf8_offset)
{
    size_t done = 0, i = 0, used;
    char bytes[4];

    if (unit == 1)
        return utf8_offset < body.n ? utf8_offset : body.n;
    while (i < body.n && done < utf8_offset) {
        done += utf_encode(read_wide(slice_of(body.p + i, body.n - i), unit, big, &used), bytes);
        i += used;
    }
    return i;
}

/* Writing strings. */

static const char hex[] = "0123456789ABCDEF";

static void put_unit(struct sbuf *sb, uint32_t unit)
{
    char text[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]
    };

    sbuf_add(sb, text, sizeof(text));
}

/* True for a byte that cannot simply be copied. */
static bool needs_escape(struct slice s, size_t i, bool raw)
{
    unsigned char b = (unsigned char)s.p[i];

    if (b < 0x20 || b == '"' || b == '\\')
        return true;
    if (raw || b < 0xed)
        return false;
    return b >= 0xf0 || (b == 0xed && i + 1 < s.n && (unsigned char)s.p[i + 1] >= 0xa0);
}

static size_t put_escape(struct sbuf *sb, struct slice s, size_t i)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t used;
    uint32_t cp = utf_decode(s.p + i, s.n - i, &used);
    const char *found = cp && cp < 0x80 ? strchr(from, (char)cp) : NULL;

    if (found) {
        sbuf_addc(sb, '\\');
        sbuf_addc(sb, to[found - from]);
    } else if (cp >= 0x10000) {
        put_unit(sb, 0xd800 + ((cp - 0x10000) >> 10));
        put_unit(sb, 0xdc00 + (cp & 0x3ff));
    } else if (cp == 0xfffd) {
        utf_put(sb, cp);
    } else {
        put_unit(sb, cp);
    }
    return used;
}

static void put_chars(struct sbuf *sb, struct slice s, bool raw)
{
    size_t from = 0;

    for (size_t i = 0; i < s.n;) {
        if (!needs_escape(s, i, raw)) {
            i++;
            continue;
        }
        sbuf_add(sb, s.p + from, i - from);
        i += put_escape(sb, s, i);
        from = i;
    }
    if (from < s.n)
        sbuf_add(sb, s.p + from, s.n - from);
}

void json_put_string(struct sbuf *sb, struct slice s)
{
    sbuf_addc(sb, '"');
    put_chars(sb, s, false);
    sbuf_addc(sb, '"');
}

void json_put_escaped(struct sbuf *sb, struct slice s)
{
    put_chars(sb, s, false);
}

void json_put_unescaped(struct sbuf *out, struct slice escaped)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    uint32_t high = 0, unit;

    for (size_t i = 0; i < escaped.n;) {
        char ch = escaped.p[i];
        if (ch != '\\' || escaped.p[i + 1] != 'u') {
            const char *found = NULL;
            if (high)
                utf_put(out, high);
            high = 0;
            if (ch == '\\') {
                ch = escaped.p[++i];
                found = strchr(from, ch);
            }
            sbuf_addc(out, found ? to[found - from] : ch);
            i++;
            continue;
        }
        char digits[5] = { escaped.p[i + 2], escaped.p[i + 3], escaped.p[i + 4], escaped.p[i + 5], '\0' };
        unit = (uint32_t)strtoul(digits, NULL, 16);
        i += 6;
        if (high && utf_is_low(unit)) {
            utf_put(out, utf_join(high, unit));
            high = 0;
            continue;
        }
        if (high)
            utf_put(out, high);
        high = utf_is_high(unit) ? unit : 0;
        if (!high)
            utf_put(out, unit);
    }
    if (high)
        utf_put(out, high);
}

void json_put_string_raw(struct sbuf *sb, struct slice s)
{
    sbuf_addc(sb, '"');
    put_chars(sb, s, true);
    sbuf_addc(sb, '"');
}

/* Java's texts of values. */

static void put_scalar(const struct json_val *val, struct sbuf *out)
{
    switch (val->kind) {
    case JSON_KIND_TRUE:
        sbuf_adds(out, "true");
        break;
    case JSON_KIND_FALSE:
        sbuf_adds(out, "false");
        break;
    case JSON_KIND_INT:
        sbuf_add_slice(out, slice_is(val->text, "-0") ? SLICE("0") : val->text);
        break;
    case JSON_KIND_FLOAT: {
        char text[DOUBLE_TEXT_SIZE];
        sbuf_add(out, text, double_text(val->text, text));
        break;
    }
    case JSON_KIND_STRING:
        sbuf_add_slice(out, val->text);
        break;
    default:
        sbuf_adds(out, "null");
    }
}

/* A container that is being printed. */
struct open_value {
    const struct json_val *container;
    const struct json_val **members; /* of an object */
    const struct json_val *element;  /* of an array */
    size_t at, count;
};

static void open_container(struct open_value *o, const struct json_val *val, struct arena *arena,
                           struct sbuf *out)
{
    *o = (struct open_value){ .container = val, .element = val->first, .count = val->count };
    if (val->kind == JSON_KIND_OBJECT)
        o->count = json_distinct(val, arena, &o->members);
    sbuf_addc(out, val->kind == JSON_KIND_OBJECT ? '{' : '[');
}

/* The next child of an open container, with what Java puts before it, or NULL. */
static const struct json_val *next_child(struct open_value *o, struct sbuf *out)
{
    const struct json_val *child;

    if (o->at == o->count) {
        sbuf_addc(out, o->members ? '}' : ']');
        return NULL;
    }
    if (o->at)
        sbuf_adds(out, ", ");
    if (o->members) {
        child = o->members[o->at];
        sbuf_add_slice(out, child->key);
        sbuf_addc(out, '=');
    } else {
        child = o->element;
        o->element = child->next;
    }
    o->at++;
    return child;
}

void json_java_text(const struct json_val *val, struct sbuf *out)
{
    AUTO_ARENA(arena);
    struct open_value *stack = NULL;
    size_t depth = 0, cap = 0;

    do {
        if (val && val->kind != JSON_KIND_OBJECT && val->kind != JSON_KIND_ARRAY) {
            put_scalar(val, out);
        } else if (val) {
            if (depth == cap) {
                cap = cap ? 2 * cap : 16;
                stack = xrealloc(stack, cap * sizeof(*stack));
            }
            open_container(&stack[depth++], val, &arena, out);
        } else {
            depth--;
        }
        val = depth ? next_child(&stack[depth - 1], out) : NULL;
    } while (depth);
    free(stack);
}

void json_put_code(struct sbuf *out, uint32_t cp)
{
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
        sbuf_addf(out, "(CTRL-CHAR, code %u)", cp);
        return;
    }
    if (cp >= 0x10000)
        cp = 0xd800 + ((cp - 0x10000) >> 10); /* upstream looks at one unit */
    sbuf_addc(out, '\'');
    utf_put(out, cp);
    sbuf_addf(out, "' (code %u", cp);
    if (cp > 255)
        sbuf_addf(out, " / 0x%x", cp);
    sbuf_addc(out, ')');
}
