#include "shared/base/utf.h"

enum { REPLACEMENT = 0xfffd };

static bool is_tail(unsigned char b)
{
    return (b & 0xc0) == 0x80;
}

static uint32_t malformed(size_t used, size_t *ret_used)
{
    *ret_used = used;
    return REPLACEMENT;
}

static uint32_t decode3(const unsigned char *b, size_t n, size_t *ret_used)
{
    if (n < 2 || !is_tail(b[1]) || (b[0] == 0xe0 && b[1] < 0xa0))
        return malformed(1, ret_used);
    if (n < 3 || !is_tail(b[2]))
        return malformed(2, ret_used);
    *ret_used = 3;
    return (uint32_t)(b[0] & 0x0f) << 12 | (uint32_t)(b[1] & 0x3f) << 6 | (b[2] & 0x3f);
}

static uint32_t decode4(const unsigned char *b, size_t n, size_t *ret_used)
{
    if (b[0] > 0xf4 || n < 2 || !is_tail(b[1]) || (b[0] == 0xf0 && b[1] < 0x90) ||
        (b[0] == 0xf4 && b[1] > 0x8f))
        return malformed(1, ret_used);
    if (n < 3 || !is_tail(b[2]))
        return malformed(2, ret_used);
    if (n < 4 || !is_tail(b[3]))
        return malformed(3, ret_used);
    *ret_used = 4;
    return (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3f) << 12 | (uint32_t)(b[2] & 0x3f) << 6 |
           (b[3] & 0x3f);
}

uint32_t utf_decode(const char *p, size_t n, size_t *ret_used)
{
    const unsigned char *b = (const unsigned char *)p;

    if (b[0] < 0x80) {
        *ret_used = 1;
        return b[0];
    }
    if (b[0] < 0xc2)
        return malformed(1, ret_used);
    if (b[0] < 0xe0) {
        if (n < 2 || !is_tail(b[1]))
            return malformed(1, ret_used);
        *ret_used = 2;
        return (uint32_t)(b[0] & 0x1f) << 6 | (b[1] & 0x3f);
    }
    return b[0] < 0xf0 ? decode3(b, n, ret_used) : decode4(b, n, ret_used);
}

uint32_t utf_decode_strict(const char *p, size_t n, size_t *ret_used)
{
    uint32_t cp = utf_decode(p, n, ret_used);

    return utf_is_surrogate(cp) ? REPLACEMENT : cp;
}

size_t utf_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

void utf_put(struct sbuf *sb, uint32_t cp)
{
    char bytes[4];

    sbuf_add(sb, bytes, utf_encode(cp, bytes));
}

size_t utf_units(struct slice s)
{
    size_t units = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        units += !is_tail(b) + (size_t)(b >= 0xf0);
    }
    return units;
}

/* Walks over the UTF-16 units of a text. */
struct units {
    struct slice left;
    uint32_t low; /* second half of the code point that was read last, or 0 */
};

/* The next unit, or -1 at the end. */
static int32_t next_unit(struct units *u)
{
    size_t used;

    if (u->low) {
        int32_t low = (int32_t)u->low;
        u->low = 0;
        return low;
    }
    if (u->left.n == 0)
        return -1;
    uint32_t cp = utf_decode(u->left.p, u->left.n, &used);
    u->left = slice_of(u->left.p + used, u->left.n - used);
    if (cp < 0x10000)
        return (int32_t)cp;
    u->low = 0xdc00 + (cp & 0x3ff);
    return (int32_t)(0xd800 + ((cp - 0x10000) >> 10));
}

int utf_compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    size_t i = 0;

    if (n == 0)
        return (a.n > 0) - (b.n > 0);
    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i < n && !((unsigned char)a.p[i] & 0x80) && !((unsigned char)b.p[i] & 0x80))
        return (unsigned char)a.p[i] - (unsigned char)b.p[i];
    while (i > 0 &&
           ((i < a.n && is_tail((unsigned char)a.p[i])) || (i < b.n && is_tail((unsigned char)b.p[i]))))
        i--;
    struct units ua = { slice_of(a.p + i, a.n - i), 0 }, ub = { slice_of(b.p + i, b.n - i), 0 };
    for (;;) {
        int32_t x = next_unit(&ua), y = next_unit(&ub);
        if (x != y || x < 0)
            return x < y ? -1 : x > y;
    }
}

struct slice utf_trim(struct slice s)
{
    while (s.n && (unsigned char)s.p[0] <= 0x20) {
        s.p++;
        s.n--;
    }
    while (s.n && (unsigned char)s.p[s.n - 1] <= 0x20)
        s.n--;
    return s;
}

/* Bytes at the start of p that are ASCII. */
static size_t ascii_run(const char *p, size_t n)
{
    size_t i = 0;
    uint64_t word;

    for (; i + sizeof(word) <= n; i += sizeof(word)) {
        memcpy(&word, p + i, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    while (i < n && !((unsigned char)p[i] & 0x80))
        i++;
    return i;
}

/* U+FFFD may stand in a text as well, in its own three bytes. */
static bool is_replacement(const char *p, size_t used)
{
    return used == 3 && memcmp(p, "\xef\xbf\xbd", 3) == 0;
}

bool utf_valid(struct slice s)
{
    size_t used;

    for (size_t i = ascii_run(s.p, s.n); i < s.n; i += used) {
        if (utf_decode(s.p + i, s.n - i, &used) == REPLACEMENT && !is_replacement(s.p + i, used))
            return false;
        used += ascii_run(s.p + i + used, s.n - i - used);
    }
    return true;
}

void utf_repair(struct slice s, struct sbuf *out)
{
    size_t used;

    for (size_t i = 0; i < s.n; i += used) {
        used = ascii_run(s.p + i, s.n - i);
        if (used)
            sbuf_add(out, s.p + i, used);
        else
            utf_put(out, utf_decode_strict(s.p + i, s.n - i, &used));
    }
}

void utf_put_java_bytes(struct slice s, struct sbuf *out)
{
    size_t used, more;

    for (size_t i = 0; i < s.n; i += used) {
        used = ascii_run(s.p + i, s.n - i);
        if (used) {
            sbuf_add(out, s.p + i, used);
            continue;
        }
        uint32_t cp = utf_decode(s.p + i, s.n - i, &used);
        if (utf_is_high(cp) && i + used < s.n) {
            uint32_t low = utf_decode(s.p + i + used, s.n - i - used, &more);
            if (utf_is_low(low)) {
                cp = utf_join(cp, low);
                used += more;
            }
        }
        utf_put(out, utf_is_surrogate(cp) ? '?' : cp);
    }
}
