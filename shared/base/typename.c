#include "shared/base/typename.h"

#include <limits.h>

#include "shared/base/utf.h"

enum { NAME_BYTES = 255, USERNAME_UNITS = 100, MD5_UNITS = 32 };

/* First code points of the runs of ten decimal digits in the BMP, which Java's parseInt() reads. */
static const uint16_t digit_runs[] = {
    0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66,
    0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
};

int java_digit(uint32_t cp)
{
    for (size_t i = 0; i < ARRAY_LEN(digit_runs); i++)
        if (cp >= digit_runs[i] && cp < digit_runs[i] + 10u)
            return (int)(cp - digit_runs[i]);
    return -1;
}

bool java_parse_long(struct slice text, int64_t *ret_value)
{
    bool negative = text.n && text.p[0] == '-';
    size_t i = text.n && (text.p[0] == '-' || text.p[0] == '+');
    size_t used;
    int64_t value = 0; /* negative, because that half of the range is larger */

    if (i == text.n)
        return false;
    for (; i < text.n; i += used) {
        int digit = java_digit(utf_decode(text.p + i, text.n - i, &used));
        if (digit < 0 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *ret_value = negative ? value : -value;
    return true;
}

static bool parse_int(struct slice text, int *ret_value)
{
    int64_t value;

    if (!java_parse_long(text, &value) || value > INT_MAX || value < INT_MIN)
        return false;
    *ret_value = (int)value;
    return true;
}

/* Plain decimal digits without a sign. */
static bool parse_plain(struct slice text, int *ret_value)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return parse_int(text, ret_value);
}

bool semver_parse(struct slice text, struct semver *ret_version)
{
    const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    struct semver v;

    if (!dot)
        return false;
    size_t n = (size_t)(dot - text.p);
    if (!parse_plain(slice_of(text.p, n), &v.major) ||
        !parse_plain(slice_of(dot + 1, text.n - n - 1), &v.minor))
        return false;
    *ret_version = v;
    return true;
}

static bool is_name_byte(unsigned char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_';
}

/* An error text that quotes parts which may hold any bytes. */
static int refuse(struct err *err, const char *before, struct slice quoted, const char *between,
                  struct slice last)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, before);
    sbuf_add_slice(&text, quoted);
    sbuf_adds(&text, between);
    sbuf_add_slice(&text, last);
    return err_set_text(err, ERR_ARGUMENT, sbuf_slice(&text));
}

/* The code point at the start of s, in its bytes. */
static struct slice first_char(struct slice s)
{
    size_t used;

    utf_decode(s.p, s.n, &used);
    return slice_of(s.p, used);
}

/* Bytes of the text in Java's UTF-8, in which a lone surrogate takes one. */
static size_t java_length(struct slice s)
{
    AUTO_SBUF(java, SBUF_NO_LIMIT);

    if (s.n <= NAME_BYTES)
        return s.n;
    utf_put_java_bytes(s, &java);
    return java.len;
}

int name_check(struct slice name, bool is_null, const char *what, struct err *err)
{
    if (is_null || name.n == 0)
        return err_set(err, ERR_ARGUMENT, "%s cannot be null or the empty string", what);
    if (java_length(name) > NAME_BYTES)
        return err_set(err, ERR_ARGUMENT, "%s size is > 255 bytes", what);
    for (size_t i = 0; i < name.n; i++)
        if (!is_name_byte((unsigned char)name.p[i])) {
            AUTO_SBUF(before, SBUF_NO_LIMIT);
            sbuf_addf(&before, "Illegal character in %s ", what);
            return refuse(err, before.p, name, ": ", first_char(slice_of(name.p + i, name.n - i)));
        }
    return 0;
}

int username_check(struct slice name, bool is_null, struct err *err)
{
    if (is_null || name.n == 0)
        return err_set(err, ERR_ARGUMENT, "Username cannot be null or the empty string");
    if (utf_units(name) > USERNAME_UNITS)
        return err_set(err, ERR_ARGUMENT, "Username exceeds the maximum length of %d", USERNAME_UNITS);
    for (size_t i = 0; i < name.n; i++)
        if (!is_name_byte((unsigned char)name.p[i]) && name.p[i] != '-')
            return refuse(err, "Illegal character in user name ", name, ": ",
                          first_char(slice_of(name.p + i, name.n - i)));
    return 0;
}

enum { MAX_PIECES = 2 };

/* Java's split(): empty pieces at the end do not count. Returns their number, at most MAX_PIECES + 1. */
static size_t split(struct slice text, char at, struct slice pieces[MAX_PIECES])
{
    size_t count = 0;

    if (text.n == 0) {
        pieces[0] = text;
        return 1;
    }
    while (text.n && text.p[text.n - 1] == at)
        text.n--;
    if (text.n == 0)
        return 0;
    for (;;) {
        const char *end = text.n ? memchr(text.p, at, text.n) : NULL;
        size_t n = end ? (size_t)(end - text.p) : text.n;
        if (count == MAX_PIECES)
            return count + 1;
        pieces[count++] = slice_of(text.p, n);
        if (!end)
            return count;
        text = slice_of(end + 1, text.n - n - 1);
    }
}

static bool is_md5(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f')))
            return false;
    return text.n == MD5_UNITS;
}

static int parse_version(struct slice text, struct type_id *id, struct err *err)
{
    struct slice pieces[MAX_PIECES];
    size_t count = split(text, '.', pieces);

    if (count == 1 && utf_units(text) == MD5_UNITS) {
        if (!is_md5(text))
            return refuse(err, "Type version string could not be parsed to a version: ", text,
                          " is not a valid MD5 string", SLICE(""));
        id->form = TYPE_ID_MD5;
        id->md5 = text;
        return 0;
    }
    bool fine = (count == 1 || count == 2) && parse_int(pieces[0], &id->version.major) &&
                (count == 1 || parse_int(pieces[1], &id->version.minor));
    if (!fine)
        return refuse(err, "Type version string ", text, " could not be parsed to a version", SLICE(""));
    id->form = count == 1 ? TYPE_ID_MAJOR : TYPE_ID_FULL;
    return 0;
}

int type_id_parse(struct slice text, bool is_null, struct type_id *ret_id, struct err *err)
{
    struct type_id id = { .form = TYPE_ID_NONE };
    struct slice parts[MAX_PIECES], names[MAX_PIECES];
    int rc;

    if (is_null || text.n == 0)
        return err_set(err, ERR_ARGUMENT, "Typestring cannot be null or the empty string");
    size_t count = split(text, '-', parts);
    if (count != 1 && count != 2)
        return refuse(err, "Could not parse typestring ", text, " into module/type and version portions",
                      SLICE(""));
    if (parts[0].n == 0)
        return err_set(err, ERR_ARGUMENT, "Moduletype cannot be null or the empty string");
    if (split(parts[0], '.', names) != 2)
        return refuse(err, "Type ", parts[0], " could not be split into a module and name", SLICE(""));
    id.module = names[0];
    id.name = names[1];
    if ((rc = name_check(id.module, false, "Module name", err)) ||
        (rc = name_check(id.name, false, "Type name", err)))
        return rc;
    if (count == 2 && (rc = parse_version(parts[1], &id, err)))
        return rc;
    *ret_id = id;
    return 0;
}

void type_id_put(struct sbuf *sb, const struct type_id *id)
{
    sbuf_add_slice(sb, id->module);
    sbuf_addc(sb, '.');
    sbuf_add_slice(sb, id->name);
    switch (id->form) {
    case TYPE_ID_NONE:
        break;
    case TYPE_ID_MAJOR:
        sbuf_addf(sb, "-%d", id->version.major);
        break;
    case TYPE_ID_FULL:
        sbuf_addf(sb, "-%d.%d", id->version.major, id->version.minor);
        break;
    case TYPE_ID_MD5:
        sbuf_addc(sb, '-');
        sbuf_add_slice(sb, id->md5);
        break;
    }
}
