/*
 * json: reading requests and writing answers the way upstream's Jackson does.
 *
 * Why not a library: parameters are coerced from the *source text* of numbers (any length), lone surrogates
 * and duplicate keys are accepted, the position of every value is needed in error texts, and answers must
 * equal Jackson's bytes.  jansson can do none of these, so it reads only documents of our own making.
 *
 * Reading builds a small read-only tree in an arena.  Pure functions, any thread.
 */
#ifndef SHARED_BASE_JSON_H
#define SHARED_BASE_JSON_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_FALSE,
    JSON_KIND_TRUE,
    JSON_KIND_INT,
    JSON_KIND_FLOAT,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

/* One value. Members and elements are linked through `next` in document order, duplicates kept. */
struct json_val {
    enum json_kind kind;    /* INT and FLOAT by their spelling: FLOAT has `.`, `e` or `E` */
    struct slice text;      /* STRING: unescaped text (utf.h); numbers: the source text; else empty */
    struct slice key;       /* unescaped key, if this is a member of an object */
    struct json_val *first; /* ARRAY, OBJECT */
    struct json_val *next;
    size_t count;      /* ARRAY, OBJECT: number of children */
    size_t begin, end; /* byte range in the input, end behind the last byte */
};

struct json_limits {
    size_t max_depth; /* containers inside each other */
    size_t max_nodes; /* values in all; bounds the memory of the tree */
};

/*
 * Reads one value from the start of `text`, bytes from the network: malformed UTF-8, encoded surrogates
 * included, counts as U+FFFD like in utf_repair().  Surrogates come only out of \u escapes: a pair becomes
 * one code point, a lone one its three-byte form.  Bytes behind the value are ignored; *ret_end (may be NULL)
 * gets the offset behind it.  Texts without escapes point into `text`, which must live as long as the tree.
 * On failure -ERR_PARSE with a text in Jackson's manner that gives line and column; also when a limit is
 * passed.
 */
int json_read(struct slice text, const struct json_limits *limits, struct arena *arena,
              struct json_val **ret_val, size_t *ret_end, struct err *err) MUST_USE;

/*
 * The same, but of the outermost object's members of the name `unread`, if they are containers, only the
 * outline is kept: where they begin and end, and how many children they have; all of their text is checked.
 * For values too large for a tree; neither time nor memory for one is needed.
 */
int json_read_outline(struct slice text, const struct json_limits *limits, const char *unread,
                      struct arena *arena, struct json_val **ret_val, size_t *ret_end, struct err *err)
    MUST_USE;

/* Last member of that name (duplicates: the last one wins), or NULL. */
const struct json_val *json_member(const struct json_val *object, const char *key);
/*
 * The members as a Java LinkedHashMap keeps them: each key once, at its first place, with its last value.
 * Returns their number; the array is in the arena.
 */
size_t json_distinct(const struct json_val *object, struct arena *arena,
                     const struct json_val ***ret_members);
/* Line and column of an offset as Jackson counts them: from 1, in UTF-16 units; \n, \r or both end a line. */
void json_position(struct slice text, size_t offset, size_t *ret_line, size_t *ret_column);

/*
 * A request body as UTF-8: recognises UTF-16 and UTF-32, big and little endian, by the pattern of zero bytes
 * in the first four bytes, as the JSON RFC says.  UTF-8 comes back as it is (no copy), others converted into
 * `buf`; *ret_unit gets the bytes per unit (1, 2, 4), *ret_big its order.
 */
struct slice json_to_utf8(struct slice body, struct sbuf *buf, int *ret_unit, bool *ret_big);
/* Where in the body that stands from which the byte at utf8_offset of json_to_utf8()'s answer was made. */
size_t json_raw_offset(struct slice body, int unit, bool big, size_t utf8_offset);

/* "..." as upstream writes answers: only " \ and controls escaped (\u00XX upper case), other BMP raw, non-BMP
 * and lone surrogates as \uXXXX escapes in upper case. */
void json_put_string(struct sbuf *sb, struct slice s);
/* The same without the quotes: for texts that are kept ready to send. */
void json_put_escaped(struct sbuf *sb, struct slice s);
/* The way back, from any spelling that is well-formed. */
void json_put_unescaped(struct sbuf *sb, struct slice escaped);
/* "..." as Jackson writes into a String (schemas, parse trees): as above, but non-BMP and surrogates raw. */
void json_put_string_raw(struct sbuf *sb, struct slice s);

static inline void json_put_str(struct sbuf *sb, const char *s)
{
    json_put_string(sb, slice_str(s));
}

/* A JSON value as Java's String.valueOf on Jackson's Object mapping: 42, 1000.0, true, {a=1}, [1, b]. */
void json_java_text(const struct json_val *val, struct sbuf *out);

/* A character as the texts of parse errors name it: `'x' (code 120)`. */
void json_put_code(struct sbuf *out, uint32_t cp);

/*
 * What the two readers, json_read() and json_tok.h, have in common: of errors the texts, which are those of
 * Jackson 2.9.  A text about a character comes in two parts; the second begins with the closing parenthesis.
 */
enum { JSON_MAX_QUOTED = 256 /* bytes of a word that an error text quotes */ };
#define JSON_NO_VALUE "): expected a valid value (number, String, array, object, 'true', 'false' or 'null')"
#define JSON_NO_NAME "): was expecting double-quote to start field name"
#define JSON_NO_COLON "): was expecting a colon to separate field name and value"
#define JSON_NO_COMMA_OBJECT "): was expecting comma to separate Object entries"
#define JSON_NO_COMMA_ARRAY "): was expecting comma to separate Array entries"
#define JSON_NO_DIGIT ") in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value"
#define JSON_NO_FRACTION ") in numeric value: Decimal point not followed by a digit"
#define JSON_NO_EXPONENT ") in numeric value: Exponent indicator not followed by a digit"
#define JSON_EOF_NUMBER "Unexpected end-of-input within/between number"
#define JSON_EOF_SIGN "Unexpected end-of-input in a Number value"

/* Both parts for a character between tokens; `expected` unless it may stand nowhere. */
const char *json_odd_text(unsigned char c, const char *expected, const char **ret_before);
/* Behind which byte of a number its error is said to be; numbers that begin with 0 are read another way. */
size_t json_number_stop(struct slice number);
/* True of null, true, false, and of what Jackson can be told to take for a number: NaN, -INF and the like. */
bool json_is_word(struct slice word);
/* The text for a word, if need be with its sign, that is no value. Returns the word's columns. */
size_t json_put_bad_word(struct sbuf *out, struct slice word);

static inline bool json_starts_word(unsigned char b)
{
    return ((b | 0x20) >= 'a' && (b | 0x20) <= 'z') || b == '_' || b == '$';
}

/*
 * True if the byte belongs to the word in front of it.  Behind a whole word, what is less than a digit does
 * not.  Of the characters beyond ASCII all that have one UTF-16 unit are taken for letters.
 */
static inline bool json_continues_word(struct slice word, unsigned char b)
{
    if (b >= '0')
        return b <= '9' || json_starts_word(b) || (b >= 0x7f && b < 0xf0);
    return (b == '$' || b <= 8 || (b >= 14 && b <= 27)) && !json_is_word(word);
}

/* The length of null, true or false at p, where the n bytes there make that sure; else 0. */
static inline size_t json_plain_word(const char *p, size_t n)
{
    if (n < 6)
        return 0;
    size_t len = !memcmp(p, "null", 4) || !memcmp(p, "true", 4) ? 4 : !memcmp(p, "false", 5) ? 5 : 0;
    unsigned char behind = (unsigned char)p[len];
    return behind < '0' || behind == ']' || behind == '}' ? len : 0;
}

/* True if the byte at n, 1 or 2, behind a sign does, so that an infinity may be meant. */
static inline bool json_continues_sign(size_t n, char c)
{
    return n == 1 ? c == 'I' : c == 'N' || c == 'n';
}

#endif
