/*
 * utf: texts as upstream's Java strings behave, held as bytes.
 *
 * A text in this program is UTF-8, in which a lone UTF-16 surrogate is kept as its three-byte form
 * (WTF-8), because upstream accepts and returns those.  Lengths, orders and columns that upstream counts
 * in Java chars are counted here in UTF-16 units.  Pure functions, any thread.
 *
 * Bytes from the network are another thing: there an encoded surrogate is malformed.  Only
 * utf_decode_strict() and utf_repair() read such bytes; what they give is a text, and all other functions
 * take texts.
 */
#ifndef SHARED_BASE_UTF_H
#define SHARED_BASE_UTF_H

#include "shared/base/base.h"
#include "shared/base/sbuf.h"

/*
 * Decodes one code point (a lone surrogate counts as one) from p, with n >= 1 bytes left; *ret_used gets
 * the bytes taken.  On malformed input it returns U+FFFD and takes the bytes that Java's decoder would
 * replace by one U+FFFD.
 */
uint32_t utf_decode(const char *p, size_t n, size_t *ret_used);
/* The same for bytes from the network: an encoded surrogate is malformed, its three bytes give one U+FFFD. */
uint32_t utf_decode_strict(const char *p, size_t n, size_t *ret_used);
/* Appends cp (surrogates too) and returns the number of bytes written, 1 to 4. */
size_t utf_encode(uint32_t cp, char out[4]);
void utf_put(struct sbuf *sb, uint32_t cp);
/* UTF-16 units of a text. */
size_t utf_units(struct slice s);
static inline bool utf_is_high(uint32_t cp)
{
    return (cp & ~(uint32_t)0x3ff) == 0xd800;
}

static inline bool utf_is_low(uint32_t cp)
{
    return (cp & ~(uint32_t)0x3ff) == 0xdc00;
}

static inline bool utf_is_surrogate(uint32_t cp)
{
    return (cp & ~(uint32_t)0x7ff) == 0xd800;
}

/* The code point of a pair of surrogates. */
static inline uint32_t utf_join(uint32_t high, uint32_t low)
{
    return 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
}

/* Order by UTF-16 units, as Java's String.compareTo: <0, 0, >0. */
int utf_compare(struct slice a, struct slice b);
/* Java's String.trim(): strips units up to U+0020 at both ends. */
struct slice utf_trim(struct slice s);
/* True if the bytes are what utf_decode() never has to replace. */
bool utf_valid(struct slice s);
/* Bytes from the network as a text: malformed bytes replaced by U+FFFD, appended to out. */
void utf_repair(struct slice s, struct sbuf *out);
/* The text as Java's getBytes(UTF_8) gives it: a lone surrogate becomes `?`. For hashing and storing. */
void utf_put_java_bytes(struct slice s, struct sbuf *out);

#endif
