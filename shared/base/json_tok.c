#include "shared/base/json_tok.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "shared/base/json.h"
#include "shared/base/utf.h"

#define SOURCE "[Source: (InputStreamReader); "

enum { PIECE_SIZE = 4096 };

/* What stands next, or what was cut. */
enum state {
    S_VALUE,
    S_FIRST_ELEMENT, /* or the end of the array */
    S_FIRST_KEY,     /* or the end of the object */
    S_KEY,
    S_COLON,
    S_AFTER, /* a value: a comma or the end of its container */
    S_DONE,
    S_STRING,
    S_NUMBER,
    S_WORD,
    S_ODD, /* an unexpected character that was cut */
    S_FAILED,
};

/* How far a number has come. */
enum number { N_SIGN, N_ZERO, N_INT, N_POINT, N_FRACTION, N_E, N_E_SIGN, N_EXPONENT };

/* An open container. */
struct json_tok_level {
    uint64_t line, column;
    bool is_object;
};

void json_tok_init(struct json_tok *t, const struct json_tok_limits *limits)
{
    *t = (struct json_tok){ .state = S_VALUE, .line = 1, .limits = *limits, .after_cr = UINT64_MAX };
    t->part = (struct sbuf)SBUF_INIT(limits->max_text + PIECE_SIZE);
}

void json_tok_release(struct json_tok *t)
{
    sbuf_release(&t->part);
    free(t->levels);
    *t = (struct json_tok){ .state = S_FAILED };
}

static uint64_t offset_of(const struct json_tok *t, const char *p)
{
    return t->fed_offset + (uint64_t)(p - t->fed);
}

uint64_t json_tok_offset(const struct json_tok *t)
{
    return offset_of(t, t->p) - t->tail_count;
}

static struct json_tok_position position_of(const struct json_tok *t, uint64_t offset)
{
    return (struct json_tok_position){ t->line, offset - t->line_base + 1 };
}

struct json_tok_position json_tok_position(const struct json_tok *t)
{
    return position_of(t, offset_of(t, t->p));
}

void json_tok_set_position(struct json_tok *t, struct json_tok_position position)
{
    t->line = position.line;
    t->line_base = offset_of(t, t->p) + 1 - position.column;
}

void json_tok_feed(struct json_tok *t, struct slice bytes)
{
    t->fed_offset = offset_of(t, t->p);
    t->fed = t->p = bytes.n ? bytes.p : "";
    t->end = t->p + bytes.n;
}

void json_tok_end(struct json_tok *t)
{
    t->final = true;
}

/* Errors. */

static enum json_token fail(struct json_tok *t, struct err *err, const struct sbuf *text)
{
    t->state = S_FAILED;
    err_set_text(err, ERR_PARSE, sbuf_slice(text));
    return JSON_TOKEN_ERROR;
}

static void put_position(struct sbuf *out, struct json_tok_position at)
{
    sbuf_addf(out, SOURCE "line: %llu, column: %llu]", (unsigned long long)at.line,
              (unsigned long long)at.column);
}

/* An error where the byte before `offset` has been read. */
static enum json_token fail_at(struct json_tok *t, struct err *err, uint64_t offset, const char *text)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_addf(&out, "%s\n at ", text);
    put_position(&out, position_of(t, offset));
    return fail(t, err, &out);
}

/* True if the bytes are the start of a character that needs more bytes. */
static bool is_cut(const char *p, size_t n)
{
    unsigned char lead = (unsigned char)p[0];
    size_t used, want = lead < 0xc2 || lead > 0xf4 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (n >= want)
        return false;
    utf_decode(p, n, &used);
    return used == n;
}

/*
 * Moves bytes behind those of a cut character, until it is whole or proves malformed.  False: needs more
 * bytes.
 */
static bool complete_tail(struct json_tok *t)
{
    while (is_cut(t->tail, t->tail_count)) {
        if (t->p == t->end)
            return t->final;
        t->tail[t->tail_count++] = *t->p++;
    }
    return true;
}

/* The character in the tail; bytes that do not belong to it are given back. */
static uint32_t take_tail(struct json_tok *t)
{
    size_t used;
    uint32_t cp = utf_decode_strict(t->tail, t->tail_count, &used);

    t->p -= t->tail_count - used;
    t->line_base += used - (cp >= 0x10000 ? 2 : 1);
    t->tail_count = 0;
    return cp;
}

static enum json_token fail_odd(struct json_tok *t, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    struct json_tok_position at = position_of(t, offset_of(t, t->p) - t->tail_count);

    if (!complete_tail(t))
        return JSON_TOKEN_MORE;
    at.column -= t->odd_back;
    at.column++;
    sbuf_adds(&out, t->odd_before);
    json_put_code(&out, take_tail(t));
    sbuf_addf(&out, "%s\n at ", t->odd_after);
    put_position(&out, at);
    return fail(t, err, &out);
}

/* `before<the character at t->p>after` */
static enum json_token fail_char(struct json_tok *t, struct err *err, const char *before, const char *after)
{
    t->odd_before = before;
    t->odd_after = after;
    t->tail[0] = *t->p++;
    t->tail_count = 1;
    t->state = S_ODD;
    return fail_odd(t, err);
}

/* what: begins with the closing parenthesis */
static enum json_token fail_unexpected(struct json_tok *t, struct err *err, const char *what)
{
    return fail_char(t, err, "Unexpected character (", what);
}

/* The same between tokens. */
static enum json_token fail_between(struct json_tok *t, struct err *err, const char *expected)
{
    const char *before, *after = json_odd_text((unsigned char)*t->p, expected, &before);

    return fail_char(t, err, before, after);
}

static void put_level(struct json_tok *t, struct sbuf *out)
{
    const struct json_tok_level *level = &t->levels[t->depth - 1];

    put_position(out, (struct json_tok_position){ level->line, level->column });
    sbuf_addc(out, ')');
}

static enum json_token fail_eof(struct json_tok *t, struct err *err, const char *text)
{
    return fail_at(t, err, offset_of(t, t->p), text);
}

static enum json_token fail_eof_inside(struct json_tok *t, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    if (!t->depth) {
        sbuf_adds(&out, "No content to map due to end-of-input\n at " SOURCE "line: 1, column: 0]");
        return fail(t, err, &out);
    }
    sbuf_addf(&out, "Unexpected end-of-input: expected close marker for %s (start marker at ",
              t->levels[t->depth - 1].is_object ? "Object" : "Array");
    put_level(t, &out);
    return fail_eof(t, err, out.p);
}

static enum json_token fail_close(struct json_tok *t, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    bool is_object = t->levels[t->depth - 1].is_object;

    sbuf_addf(&out, "Unexpected close marker '%c': expected '%c' (for %s starting at ", *t->p,
              is_object ? '}' : ']', is_object ? "Object" : "Array");
    put_level(t, &out);
    return fail_at(t, err, offset_of(t, t->p) + 1, out.p);
}

/* Without a position, because that would depend on where the input was cut. */
static enum json_token fail_limit(struct json_tok *t, struct err *err, const char *what)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_addf(&out, "%s is longer than %zu bytes", what, t->limits.max_text);
    return fail(t, err, &out);
}

/* Runs of bytes that need no look. */

static bool is_special(unsigned char b)
{
    return b < 0x20 || b == '"' || b == '\\' || b >= 0x80;
}

/* The first byte that is a quote, a backslash, a control or not ASCII. */
static inline const char *plain_end(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* signed: bytes from 0x80 on are less, too */
        __m128i hit = _mm_or_si128(_mm_cmplt_epi8(v, space),
                                   _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, back)));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#elif defined(__aarch64__)
    const int8x16_t space = vdupq_n_s8(0x20), quote = vdupq_n_s8('"'), back = vdupq_n_s8('\\');

    for (; end - p >= 16; p += 16) {
        int8x16_t v = vld1q_s8((const int8_t *)p);
        uint8x16_t hit = vorrq_u8(vcltq_s8(v, space), vorrq_u8(vceqq_s8(v, quote), vceqq_s8(v, back)));
        uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        if (mask)
            return p + (__builtin_ctzll(mask) >> 2);
    }
#else
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t w;

    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, sizeof(w));
        uint64_t q = w ^ (ones * '"'), b = w ^ (ones * '\\');
        if ((w | (w - ones * 0x20) | (q - ones) | (b - ones)) & highs)
            break;
    }
#endif
    while (p < end && !is_special((unsigned char)*p))
        p++;
    return p;
}

/* Blanks of an indented document. */
static inline const char *blanks_end(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i blank = _mm_set1_epi8(' ');

    for (; end - p >= 16; p += 16) {
        unsigned mask = (unsigned)_mm_movemask_epi8(
            _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), blank));
        if (mask != 0xffff)
            return p + __builtin_ctz(~mask);
    }
#else
    uint64_t w;

    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, sizeof(w));
        if (w != 0x2020202020202020u)
            break;
    }
#endif
    while (p < end && *p == ' ')
        p++;
    return p;
}

static void end_line(struct json_tok *t, const char *p)
{
    uint64_t behind = offset_of(t, p) + 1;

    if (*p == '\r')
        t->after_cr = behind;
    if (*p == '\r' || t->after_cr != behind - 1)
        t->line++;
    t->line_base = behind;
}

/* Moves to the next byte that is no white space; false at the end of what there is. */
static inline bool skip_space(struct json_tok *t)
{
    const char *p = t->p;

    for (; p < t->end; p++) {
        if ((unsigned char)*p > ' ') {
            t->p = p;
            return true;
        }
        if (*p == ' ')
            p = blanks_end(p, t->end) - 1;
        else if (*p == '\n' || *p == '\r')
            end_line(t, p);
        else if (*p != '\t')
            break;
    }
    t->p = p;
    return p < t->end;
}

/* Strings. */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void put_high(struct json_tok *t)
{
    if (t->high)
        utf_put(&t->part, t->high);
    t->high = 0;
}

static void put_unit(struct json_tok *t, uint32_t unit)
{
    if (t->high && utf_is_low(unit)) {
        utf_put(&t->part, utf_join(t->high, unit));
        t->high = 0;
        return;
    }
    put_high(t);
    if (utf_is_high(unit))
        t->high = unit;
    else
        utf_put(&t->part, unit);
}

/* One more byte of an escape; false: it is wrong there. */
static enum json_token read_escape(struct json_tok *t, struct err *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (t->escape == 1) {
        char c = *t->p;
        const char *found = c ? strchr(from, c) : NULL;
        if (found) {
            put_high(t);
            sbuf_addc(&t->part, to[found - from]);
            t->escape = 0;
        } else if (c == 'u') {
            t->escape = 2;
            t->unit = 0;
        } else {
            return fail_char(t, err, "Unrecognized character escape ", "");
        }
        t->p++;
        return JSON_TOKEN_MORE;
    }
    int digit = hex_digit(*t->p);
    if (digit < 0)
        return fail_unexpected(t, err, "): expected a hex-digit for character escape sequence");
    t->unit = t->unit << 4 | (uint32_t)digit;
    t->p++;
    if (++t->escape == 6) {
        t->escape = 0;
        put_unit(t, t->unit);
    }
    return JSON_TOKEN_MORE;
}

static enum json_token end_string(struct json_tok *t, struct err *err)
{
    if (t->in_key && t->part.len > t->limits.max_text)
        return fail_limit(t, err, "A key");
    t->text = sbuf_slice(&t->part);
    t->plain = t->escaped = false;
    t->state = t->in_key ? S_COLON : S_AFTER;
    return t->in_key ? JSON_TOKEN_KEY : JSON_TOKEN_STRING;
}

static enum json_token cut_string(struct json_tok *t, struct err *err)
{
    /* however the pieces fall, a key that is too long is told as that */
    if (t->in_key && t->part.len > t->limits.max_text)
        return fail_limit(t, err, "A key");
    if (t->final) {
        if (t->tail_count)
            t->line_base += t->tail_count - 1;
        return fail_eof(t, err,
                        t->escape ? "Unexpected end-of-input in character escape sequence"
                        : t->in_key
                            ? "Unexpected end-of-input in field name"
                            : "Unexpected end-of-input: was expecting closing quote for a string value");
    }
    if (t->in_key || !t->part.len)
        return JSON_TOKEN_MORE;
    t->text = sbuf_slice(&t->part);
    t->plain = t->escaped = false;
    return JSON_TOKEN_PIECE;
}

/* A character that is not ASCII. False: it was cut. */
static bool read_wide(struct json_tok *t)
{
    if (!t->tail_count)
        t->tail[t->tail_count++] = *t->p++;
    if (!complete_tail(t) || (t->final && is_cut(t->tail, t->tail_count)))
        return false;
    put_high(t);
    utf_put(&t->part, take_tail(t));
    return true;
}

/* The rest of a string from t->p on, whatever is in it. */
static enum json_token read_rest(struct json_tok *t, struct err *err)
{
    enum json_token failed;

    for (;;) {
        if ((t->tail_count && !read_wide(t)) || t->p == t->end)
            return cut_string(t, err);
        if (t->escape) {
            if ((failed = read_escape(t, err)))
                return failed;
            if (t->state == S_ODD)
                return JSON_TOKEN_MORE;
            continue;
        }
        if (t->part.len >= (t->in_key ? t->limits.max_text + 1 : PIECE_SIZE))
            return t->in_key ? end_string(t, err) : cut_string(t, err);
        const char *end = t->end - t->p > PIECE_SIZE ? t->p + PIECE_SIZE : t->end;
        const char *run = plain_end(t->p, end);
        if (run > t->p) {
            put_high(t);
            sbuf_add(&t->part, t->p, (size_t)(run - t->p));
            t->p = run;
            continue;
        }
        unsigned char c = (unsigned char)*t->p;
        if (c == '"') {
            put_high(t);
            t->p++;
            return end_string(t, err);
        }
        if (c < 0x20)
            return fail_char(t, err, "Illegal unquoted character (",
                             t->in_key
                                 ? "): has to be escaped using backslash to be included in name"
                                 : "): has to be escaped using backslash to be included in string value");
        if (c == '\\') {
            t->escape = 1;
            t->p++;
        } else {
            t->tail[t->tail_count++] = *t->p++;
        }
    }
}

/* Bytes of a well-formed character in front of `end`, or 0; says whether its canonical form has escapes. */
static size_t whole_char(const char *p, const char *end, bool *plain, uint64_t *surplus)
{
    const unsigned char *b = (const unsigned char *)p;
    size_t used;

    if (b[0] >= 0xc2 && b[0] < 0xe0 && end - p >= 2 && (b[1] & 0xc0) == 0x80) {
        *surplus += 1;
        return 2;
    }
    if (b[0] < 0xe0 || end - p < 4)
        return 0;
    uint32_t cp = utf_decode_strict(p, (size_t)(end - p), &used);
    if (cp == 0xfffd)
        return 0;
    *surplus += used - (cp >= 0x10000 ? 2 : 1);
    *plain = *plain && cp < 0x10000;
    return used;
}

/* An escape that the canonical form has as well. */
static bool is_canonical_escape(const char *p, const char *end)
{
    return end - p > 1 && p[1] && strchr("\"\\bfnrt", p[1]);
}

/*
 * Reads on in a string as long as what comes can be given as it stands; the text is from `begin` on.  True if
 * it came to the closing quote.
 */
static inline bool read_whole(struct json_tok *t, const char *begin, bool is_key)
{
    const char *p = begin;
    uint64_t surplus = 0;
    bool closed = false;

    t->plain = true;
    t->escaped = false;
    for (;;) {
        size_t n = 0;
        p = plain_end(p, t->end);
        if (p == t->end)
            break;
        closed = *p == '"';
        if (closed)
            break;
        if ((unsigned char)*p & 0x80)
            n = whole_char(p, t->end, &t->plain, &surplus);
        else if (*p == '\\' && !is_key && is_canonical_escape(p, t->end))
            n = 2;
        if (!n)
            break;
        t->escaped = t->escaped || *p == '\\';
        p += n;
    }
    t->line_base += surplus;
    t->text = slice_of(begin, (size_t)(p - begin));
    t->p = p + closed;
    return closed;
}

/* A string whose opening quote was read. */
static inline enum json_token read_string(struct json_tok *t, bool is_key, struct err *err)
{
    const char *begin = t->p, *p;

    if (read_whole(t, begin, is_key)) {
        t->state = is_key ? S_COLON : S_AFTER;
        if (is_key && t->text.n > t->limits.max_text)
            return fail_limit(t, err, "A key");
        return is_key ? JSON_TOKEN_KEY : JSON_TOKEN_STRING;
    }
    p = t->p;
    t->state = S_STRING;
    t->in_key = is_key;
    sbuf_reset(&t->part);
    if (!is_key && p > begin)
        return JSON_TOKEN_PIECE;
    if ((size_t)(p - begin) > t->limits.max_text)
        return fail_limit(t, err, "A key");
    sbuf_add(&t->part, begin, (size_t)(p - begin));
    return read_rest(t, err);
}

/* A string of which something was given or kept already. */
static enum json_token continue_string(struct json_tok *t, struct err *err)
{
    if (t->in_key)
        return read_rest(t, err);
    sbuf_reset(&t->part);
    if (t->escape || t->tail_count || t->high)
        return read_rest(t, err);
    if (read_whole(t, t->p, false)) {
        t->state = S_AFTER;
        return JSON_TOKEN_STRING;
    }
    return t->text.n ? JSON_TOKEN_PIECE : read_rest(t, err);
}

/* Words. */

static const enum json_token word_tokens[] = {
    ['n'] = JSON_TOKEN_NULL, ['t'] = JSON_TOKEN_TRUE, ['f'] = JSON_TOKEN_FALSE
};

/* A value that is none of the words. */
static enum json_token fail_word(struct json_tok *t, struct err *err, struct slice word)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    struct json_tok_position at = position_of(t, offset_of(t, t->p));

    at.column += json_put_bad_word(&out, word);
    at.column -= word.n;
    sbuf_adds(&out, "\n at ");
    put_position(&out, at);
    return fail(t, err, &out);
}

static enum json_token continue_word(struct json_tok *t, struct err *err)
{
    char first = t->part.p[0];
    bool has_sign = first == '+' || first == '-';

    for (; t->p < t->end && t->part.len < JSON_MAX_QUOTED; sbuf_addc(&t->part, *t->p++)) {
        if (has_sign && t->part.len < 3) {
            if (!json_continues_sign(t->part.len, *t->p))
                return fail_unexpected(t, err, JSON_NO_DIGIT);
        } else if (!json_continues_word(sbuf_slice(&t->part), (unsigned char)*t->p)) {
            break;
        }
    }
    if (t->p == t->end && !t->final && t->part.len < JSON_MAX_QUOTED)
        return JSON_TOKEN_MORE;
    if (has_sign && t->part.len < 3)
        return fail_eof(t, err, JSON_EOF_SIGN);
    if (!strchr("ntf", first) || !json_is_word(sbuf_slice(&t->part)))
        return fail_word(t, err, sbuf_slice(&t->part));
    t->state = S_AFTER;
    return word_tokens[(unsigned char)first];
}

/* From its first byte on, which is a letter or a sign. */
static enum json_token start_word(struct json_tok *t, struct err *err, char first)
{
    sbuf_reset(&t->part);
    sbuf_addc(&t->part, first);
    t->state = S_WORD;
    return continue_word(t, err);
}

static enum json_token read_word(struct json_tok *t, struct err *err)
{
    size_t n = json_plain_word(t->p, (size_t)(t->end - t->p));

    if (n) {
        enum json_token token = word_tokens[(unsigned char)*t->p];
        t->p += n;
        t->state = S_AFTER;
        return token;
    }
    if (!json_starts_word((unsigned char)*t->p) && *t->p != '+')
        return fail_between(t, err, JSON_NO_VALUE);
    return start_word(t, err, *t->p++);
}

/* Numbers. */

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline const char *digits_end(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t w;

    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, sizeof(w));
        w ^= 0x3030303030303030u; /* digits are 0 to 9 now */
        w = ((w + 0x7676767676767676u) | w) & 0x8080808080808080u;
        if (w)
            return p + (__builtin_ctzll(w) >> 3);
    }
#endif
    while (p < end && is_digit(*p))
        p++;
    return p;
}

#if defined(__SSE2__)
static inline uint32_t digits_of(const char *p)
{
    __m128i v = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8('0'));

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v));
}

static inline uint32_t points_of(const char *p)
{
    return (uint32_t)_mm_movemask_epi8(
        _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8('.')));
}
#endif

/*
 * The end of a number without an exponent that ends in front of `end`, as nearly all do; else NULL.  What is
 * found here, number_end() finds as well.
 */
static inline const char *simple_number_end(const char *p, const char *end, enum number *number)
{
    const char *first = p;

#if defined(__SSE2__)
    /* without branches on how many digits there are, which nobody can foretell */
    if (end - p >= 32) {
        uint32_t digits = digits_of(p) | digits_of(p + 16) << 16, points = points_of(p) | points_of(p + 16)
                                                                                              << 16;
        uint32_t behind = ~(digits | points);
        if (!behind || (behind & 1))
            return NULL;
        points &= behind ^ (behind - 1);
        p += __builtin_ctz(behind);
        if ((*p | 0x20) == 'e' || (*first == '0' && (digits & 2)))
            return NULL;
        *number = points ? N_FRACTION : N_INT;
        /* one point, with digits on both sides */
        return (points & (points - 1)) || (points & 1) || (points & (behind >> 1)) ? NULL : p;
    }
#endif
    p = digits_end(p, end);
    if (p == first || p == end || (*first == '0' && p > first + 1))
        return NULL;
    *number = N_INT;
    if (*p == '.') {
        first = ++p;
        p = digits_end(p, end);
        if (p == first || p == end)
            return NULL;
        *number = N_FRACTION;
    }
    return (*p | 0x20) == 'e' ? NULL : p;
}

/* What a byte that follows the digits of a number means. */
static inline bool goes_on(char c, enum number *number)
{
    if (c == '.' && *number < N_POINT) {
        *number = N_POINT;
        return true;
    }
    if ((c | 0x20) == 'e' && *number < N_E) {
        *number = N_E;
        return true;
    }
    return false;
}

/* The first byte that does not belong to the number; *number tells how far it came. */
static inline const char *number_end(const char *p, const char *end, enum number *number)
{
    while (p < end) {
        switch (*number) {
        case N_SIGN:
            if (!is_digit(*p))
                return p;
            *number = *p++ == '0' ? N_ZERO : N_INT;
            break;
        case N_INT:
        case N_FRACTION:
            p = digits_end(p, end);
            if (p == end)
                return p;
            __attribute__((fallthrough));
        case N_ZERO:
            if (!goes_on(*p, number))
                return p;
            p++;
            break;
        case N_E:
            if (*p == '+' || *p == '-') {
                *number = N_E_SIGN;
                p++;
                break;
            }
            __attribute__((fallthrough));
        case N_E_SIGN:
        case N_POINT:
            if (!is_digit(*p))
                return p;
            *number = *number == N_POINT ? N_FRACTION : N_EXPONENT;
            break;
        case N_EXPONENT:
            return digits_end(p, end);
        }
    }
    return p;
}

static bool is_complete(enum number number)
{
    return number == N_ZERO || number == N_INT || number == N_FRACTION || number == N_EXPONENT;
}

static enum json_token fail_number(struct json_tok *t, struct err *err, enum number number, struct slice text)
{
    if (t->p == t->end)
        return fail_eof(t, err, JSON_EOF_NUMBER);
    if (number == N_SIGN)
        return start_word(t, err, '-');
    t->odd_back = text.n - json_number_stop(text);
    return fail_unexpected(t, err, number == N_POINT ? JSON_NO_FRACTION : JSON_NO_EXPONENT);
}

static enum json_token give_number(struct json_tok *t, struct err *err, enum number number, struct slice text)
{
    if (text.n > t->limits.max_text)
        return fail_limit(t, err, "A number");
    if (!is_complete(number))
        return fail_number(t, err, number, text);
    if (number == N_ZERO && t->p < t->end && is_digit(*t->p))
        return fail_at(t, err, offset_of(t, t->p), "Invalid numeric value: Leading zeroes not allowed");
    t->text = text;
    t->state = S_AFTER;
    return number <= N_INT ? JSON_TOKEN_INT : JSON_TOKEN_FLOAT;
}

/* The rest of a number that was cut. */
static enum json_token continue_number(struct json_tok *t, struct err *err)
{
    enum number number = t->number;
    const char *p = number_end(t->p, t->end, &number);

    sbuf_add(&t->part, t->p, (size_t)(p - t->p));
    t->p = p;
    t->number = number;
    if (t->part.failed || t->part.len > t->limits.max_text)
        return fail_limit(t, err, "A number");
    if (p == t->end && !t->final)
        return JSON_TOKEN_MORE;
    return give_number(t, err, number, sbuf_slice(&t->part));
}

static inline enum json_token read_number(struct json_tok *t, struct err *err)
{
    const char *begin = t->p;
    enum number number = N_SIGN;
    const char *p = simple_number_end(begin + (*begin == '-'), t->end, &number);

    if (p && (size_t)(p - begin) <= t->limits.max_text) {
        t->p = p;
        t->text = slice_of(begin, (size_t)(p - begin));
        t->state = S_AFTER;
        return number == N_INT ? JSON_TOKEN_INT : JSON_TOKEN_FLOAT;
    }
    number = N_SIGN;
    p = number_end(begin + (*begin == '-'), t->end, &number);
    if (p < t->end) {
        t->p = p;
        return give_number(t, err, number, slice_of(begin, (size_t)(p - begin)));
    }
    sbuf_reset(&t->part);
    t->state = S_NUMBER;
    t->number = N_SIGN;
    if (*begin == '-') {
        sbuf_addc(&t->part, '-');
        t->p++;
    }
    return continue_number(t, err);
}

/* Structure. */

static enum json_token open_level(struct json_tok *t, struct err *err, bool is_object)
{
    struct json_tok_position at = position_of(t, offset_of(t, t->p));

    t->p++;
    if (t->depth >= t->limits.max_depth) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        sbuf_addf(&text, "Containers are nested more than %zu deep", t->limits.max_depth);
        return fail_at(t, err, offset_of(t, t->p), text.p);
    }
    if (t->depth == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 8;
        t->levels = xrealloc(t->levels, t->cap * sizeof(*t->levels));
    }
    t->levels[t->depth++] = (struct json_tok_level){ at.line, at.column, is_object };
    t->state = is_object ? S_FIRST_KEY : S_FIRST_ELEMENT;
    return is_object ? JSON_TOKEN_OBJECT : JSON_TOKEN_ARRAY;
}

static enum json_token close_level(struct json_tok *t, struct err *err)
{
    bool is_object = *t->p == '}';

    if (t->levels[t->depth - 1].is_object != is_object)
        return fail_close(t, err);
    t->p++;
    t->depth--;
    t->state = S_AFTER;
    return is_object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
}

static inline enum json_token read_value(struct json_tok *t, struct err *err)
{
    char c = *t->p;

    if (c == '"') {
        t->p++;
        return read_string(t, false, err);
    }
    if (is_digit(c) || c == '-')
        return read_number(t, err);
    if (c == '{' || c == '[')
        return open_level(t, err, c == '{');
    return read_word(t, err);
}

static inline enum json_token read_key(struct json_tok *t, struct err *err)
{
    if (*t->p != '"')
        return fail_between(t, err, JSON_NO_NAME);
    t->p++;
    return read_string(t, true, err);
}

/* A comma, or the end of the container, behind a value. *ret_token is set for the latter. */
static inline bool read_after(struct json_tok *t, struct err *err, enum json_token *ret_token)
{
    bool in_object = t->levels[t->depth - 1].is_object;

    if (*t->p == ',') {
        t->p++;
        t->state = in_object ? S_KEY : S_VALUE;
        return false;
    }
    if (*t->p == '}' || *t->p == ']')
        *ret_token = close_level(t, err);
    else
        *ret_token = fail_between(t, err, in_object ? JSON_NO_COMMA_OBJECT : JSON_NO_COMMA_ARRAY);
    return true;
}

/* The end of what there is, between tokens. */
static enum json_token out_of_bytes(struct json_tok *t, struct err *err)
{
    if (!t->final)
        return JSON_TOKEN_MORE;
    if (t->state == S_COLON)
        return fail_eof(t, err, "Unexpected end-of-input within/between Object entries");
    return fail_eof_inside(t, err);
}

enum json_token json_tok_next(struct json_tok *t, struct err *err)
{
    enum json_token token;

    /* documents without blanks are nearly all of this */
    if (t->end - t->p > 1 && (unsigned char)t->p[1] > ' ') {
        if (t->state == S_AFTER && *t->p == ',' && t->depth) {
            t->p++;
            return t->levels[t->depth - 1].is_object ? read_key(t, err) : read_value(t, err);
        }
        if (t->state == S_COLON && *t->p == ':') {
            t->p++;
            return read_value(t, err);
        }
    }
    for (;;) {
        switch ((enum state)t->state) {
        case S_STRING:
            return continue_string(t, err);
        case S_NUMBER:
            return continue_number(t, err);
        case S_WORD:
            return continue_word(t, err);
        case S_ODD:
            return fail_odd(t, err);
        case S_FAILED:
            return JSON_TOKEN_ERROR;
        case S_DONE:
            return JSON_TOKEN_END;
        case S_AFTER:
            if (!t->depth) {
                t->state = S_DONE;
                return JSON_TOKEN_END;
            }
            break;
        default:
            break;
        }
        if (!skip_space(t))
            return out_of_bytes(t, err);
        switch ((enum state)t->state) {
        case S_AFTER:
            if (read_after(t, err, &token))
                return token;
            break;
        case S_COLON:
            if (*t->p != ':')
                return fail_between(t, err, JSON_NO_COLON);
            t->p++;
            t->state = S_VALUE;
            break;
        case S_FIRST_ELEMENT:
            return *t->p == ']' || *t->p == '}' ? close_level(t, err) : read_value(t, err);
        case S_FIRST_KEY:
            return *t->p == ']' || *t->p == '}' ? close_level(t, err) : read_key(t, err);
        case S_KEY:
            return read_key(t, err);
        default:
            return read_value(t, err);
        }
    }
}
