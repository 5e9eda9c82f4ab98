#include "tws/kidl/bigdecimal.h"

#include "shared/base/utf.h"

/* Java takes another way, with another message, when the text without its sign is longer than this. */
enum { COMPACT_UNITS = 18, MAX_EXPONENT_DIGITS = 10 };

/* The zeros of the scripts whose digits are single UTF-16 units (Unicode category Nd). */
static const uint16_t zeros[] = {
    0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66,
    0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
};

/* Character.digit(c, 10): 0 to 9, or -1. */
static int digit_value(uint32_t unit)
{
    for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
        if (unit >= zeros[i] && unit < zeros[i] + 10u)
            return (int)(unit - zeros[i]);
    return -1;
}

struct reader {
    struct slice left;
    char *digits; /* room for all */
    size_t count;
    bool any; /* a digit was read, even if it was a zero in front */
    bool point;
    int64_t scale;
    int64_t exponent;
};

static uint32_t peek(struct slice s, size_t *ret_used)
{
    return utf_decode(s.p, s.n, ret_used);
}

static void skip(struct slice *s, size_t used)
{
    s->p += used;
    s->n -= used;
}

/* Returns NULL or Java's message. The `e` was read. */
static const char *read_exponent(struct reader *r)
{
    struct slice s = r->left;
    size_t used;

    if (s.n == 0)
        return "null";
    bool negative = s.p[0] == '-';
    if (negative || s.p[0] == '+')
        skip(&s, 1);
    if (s.n == 0)
        return "null";
    size_t units = utf_units(s);
    while (units > MAX_EXPONENT_DIGITS && digit_value(peek(s, &used)) == 0) {
        skip(&s, used);
        units--;
    }
    if (units > MAX_EXPONENT_DIGITS)
        return "Too many nonzero exponent digits.";
    for (; s.n; skip(&s, used)) {
        int digit = digit_value(peek(s, &used));
        if (digit < 0)
            return "Not a digit.";
        r->exponent = r->exponent * 10 + digit;
    }
    r->left = s;
    if (negative)
        r->exponent = -r->exponent;
    return r->exponent > INT32_MAX || r->exponent < INT32_MIN ? "Exponent overflow." : NULL;
}

static void add_digit(struct reader *r, int digit)
{
    r->any = true;
    if (digit || r->count)
        r->digits[r->count++] = (char)('0' + digit);
    if (r->point)
        r->scale++;
}

static void put_bad_unit(uint32_t cp, bool compact, struct sbuf *message)
{
    if (!compact) {
        sbuf_adds(message, "Character array is missing \"e\" notation exponential mark.");
        return;
    }
    sbuf_adds(message, "Character ");
    utf_put(message, cp < 0x10000 ? cp : 0xd800 + ((cp - 0x10000) >> 10));
    sbuf_adds(message,
              " is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark.");
}

/* Returns false with a message. */
static bool read_all(struct reader *r, struct sbuf *message)
{
    bool compact = utf_units(r->left) <= COMPACT_UNITS;
    const char *wrong = NULL;
    size_t used;

    while (r->left.n && !wrong) {
        uint32_t cp = peek(r->left, &used);
        int digit = digit_value(cp);
        skip(&r->left, used);
        if (digit >= 0) {
            add_digit(r, digit);
        } else if (cp == '.') {
            wrong = r->point ? "Character array contains more than one decimal point." : NULL;
            r->point = true;
        } else if (cp == 'e' || cp == 'E') {
            wrong = read_exponent(r);
        } else {
            put_bad_unit(cp, compact, message);
            return false;
        }
    }
    r->scale -= r->exponent;
    if (!wrong && !r->any)
        wrong = "No digits found.";
    if (!wrong && (r->scale > INT32_MAX || r->scale < INT32_MIN))
        wrong = "Scale out of range.";
    if (wrong)
        sbuf_adds(message, wrong);
    return !wrong;
}

bool bigdecimal_parse(struct slice text, struct arena *arena, struct bigdecimal *ret_value,
                      struct sbuf *message)
{
    struct reader r = { .left = text };
    bool negative = text.n && text.p[0] == '-';

    if (text.n == 0) {
        sbuf_adds(message, "null");
        return false;
    }
    if (negative || text.p[0] == '+')
        skip(&r.left, 1);
    r.digits = arena_alloc(arena, text.n + 1);
    if (!read_all(&r, message))
        return false;
    if (r.count == 0)
        *ret_value = (struct bigdecimal){ false, SLICE("0"), (int32_t)r.scale };
    else
        *ret_value = (struct bigdecimal){ negative, slice_of(r.digits, r.count), (int32_t)r.scale };
    return true;
}

static bool is_zero(const struct bigdecimal *v)
{
    return v->digits.n == 1 && v->digits.p[0] == '0';
}

/* The exponent of the first digit. */
static int64_t adjusted(const struct bigdecimal *v)
{
    return (int64_t)v->digits.n - 1 - v->scale;
}

static int compare_magnitude(const struct bigdecimal *a, const struct bigdecimal *b)
{
    size_t n = a->digits.n > b->digits.n ? a->digits.n : b->digits.n;

    if (adjusted(a) != adjusted(b))
        return adjusted(a) < adjusted(b) ? -1 : 1;
    for (size_t i = 0; i < n; i++) {
        char x = i < a->digits.n ? a->digits.p[i] : '0';
        char y = i < b->digits.n ? b->digits.p[i] : '0';
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

int bigdecimal_compare(const struct bigdecimal *a, const struct bigdecimal *b)
{
    int sign_a = is_zero(a) ? 0 : a->negative ? -1 : 1;
    int sign_b = is_zero(b) ? 0 : b->negative ? -1 : 1;

    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    return sign_a == 0 ? 0 : sign_a * compare_magnitude(a, b);
}

static void put_plain(const struct bigdecimal *v, struct sbuf *out)
{
    size_t fraction = (size_t)v->scale;

    if (v->digits.n > fraction) {
        sbuf_add(out, v->digits.p, v->digits.n - fraction);
        sbuf_addc(out, '.');
        sbuf_add(out, v->digits.p + v->digits.n - fraction, fraction);
        return;
    }
    sbuf_adds(out, "0.");
    for (size_t i = v->digits.n; i < fraction; i++)
        sbuf_addc(out, '0');
    sbuf_add_slice(out, v->digits);
}

void bigdecimal_put(const struct bigdecimal *v, struct sbuf *out)
{
    int64_t exponent = adjusted(v);

    if (v->negative)
        sbuf_addc(out, '-');
    if (v->scale == 0) {
        sbuf_add_slice(out, v->digits);
    } else if (v->scale > 0 && exponent >= -6) {
        put_plain(v, out);
    } else {
        sbuf_addc(out, v->digits.p[0]);
        if (v->digits.n > 1) {
            sbuf_addc(out, '.');
            sbuf_add(out, v->digits.p + 1, v->digits.n - 1);
        }
        sbuf_addf(out, "E%+lld", (long long)exponent);
    }
}

bool bigdecimal_is_readable(const struct bigdecimal *v)
{
    return adjusted(v) <= INT32_MAX; /* never less than -INT32_MAX */
}

static bool has_fraction(const struct bigdecimal *v)
{
    for (int64_t i = (int64_t)v->digits.n - v->scale; i < (int64_t)v->digits.n; i++)
        if (i < 0 || v->digits.p[i] != '0')
            return true;
    return false;
}

/* Adds one to n digits; there is room for one more in front. */
static struct slice add_one(char *digits, size_t n)
{
    size_t i = n;

    while (i > 0 && digits[i - 1] == '9')
        digits[--i] = '0';
    if (i > 0) {
        digits[i - 1]++;
        return slice_of(digits, n);
    }
    digits[-1] = '1';
    return slice_of(digits - 1, n + 1);
}

bool bigdecimal_round(const struct bigdecimal *v, bool up, struct arena *arena,
                      struct bigdecimal *ret_rounded)
{
    int64_t whole = (int64_t)v->digits.n - v->scale; /* digits before the point */

    *ret_rounded = (struct bigdecimal){ false, SLICE("0"), 0 };
    if (is_zero(v))
        return true;
    if (whole > BIGDECIMAL_MAX_DIGITS)
        return false;
    size_t n = whole > 0 ? (size_t)whole : 0;
    char *digits = (char *)arena_alloc(arena, n + 2) + 1;
    size_t copied = n < v->digits.n ? n : v->digits.n;
    if (copied)
        memcpy(digits, v->digits.p, copied);
    memset(digits + copied, '0', n - copied);
    struct slice result = slice_of(digits, n);
    if (has_fraction(v) && up == !v->negative)
        result = add_one(digits, n);
    if (result.n)
        *ret_rounded = (struct bigdecimal){ v->negative, result, 0 };
    return true;
}
