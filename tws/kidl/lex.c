#include "tws/kidl/lex.h"

#include "shared/base/utf.h"

enum { TAB = 8 };

static const struct word {
    const char *text;
    size_t n;
    enum token_kind kind;
} words[] = {
#define WORD_ROW(id, number, name) { name, sizeof(name) - 1, TOKEN_##id },
    WORD_LIST(WORD_ROW)
#undef WORD_ROW
};

static const unsigned char marks[128] = {
    ['('] = TOKEN_OPEN_PAREN, [')'] = TOKEN_CLOSE_PAREN, [','] = TOKEN_COMMA,      ['.'] = TOKEN_DOT,
    [';'] = TOKEN_SEMICOLON,  [':'] = TOKEN_COLON,       ['{'] = TOKEN_OPEN_BRACE, ['}'] = TOKEN_CLOSE_BRACE,
    ['<'] = TOKEN_LESS,       ['>'] = TOKEN_GREATER,
};

static const char *const names[TOKEN_KINDS] = {
#define QUOTED_NAME(id, number, name) [number] = "\"" name "\"",
#define PLAIN_NAME(id, number, name) [number] = name,
    WORD_LIST(QUOTED_NAME) MARK_LIST(QUOTED_NAME) OTHER_TOKEN_LIST(PLAIN_NAME)
#undef QUOTED_NAME
#undef PLAIN_NAME
};

const char *token_name(enum token_kind kind)
{
    return names[kind];
}

void lexer_init(struct lexer *lexer, struct slice text)
{
    *lexer = (struct lexer){ .text = text, .last = { 1, 0 } };
}

static bool at_end(const struct lexer *lexer)
{
    return lexer->at >= lexer->text.n;
}

/* Moves over one code point; the position becomes that of its last unit. */
static void step(struct lexer *l)
{
    unsigned char b = (unsigned char)l->text.p[l->at];
    size_t used = 1;
    uint32_t cp = b < 0x80 ? b : utf_decode(l->text.p + l->at, l->text.n - l->at, &used);

    l->last.column++;
    if (l->after_lf || (l->after_cr && cp != '\n')) {
        l->last.line++;
        l->last.column = 1;
    }
    l->after_lf = cp == '\n';
    l->after_cr = cp == '\r';
    if (cp == '\t')
        l->last.column = (l->last.column - 1) / TAB * TAB + TAB;
    else if (cp >= 0x10000)
        l->last.column++;
    l->at += used;
}

static void step_to(struct lexer *l, size_t to)
{
    while (l->at < to)
        step(l);
}

/* Escapes. */

static void put_unit(struct sbuf *out, uint32_t unit)
{
    static const char letters[128] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',  ['\f'] = 'f',
                                       ['\r'] = 'r', ['"'] = '"',  ['\''] = '\'', ['\\'] = '\\' };

    if (unit == 0)
        return;
    if (unit < 0x80 && letters[unit])
        sbuf_addf(out, "\\%c", letters[unit]);
    else if (unit < 0x20 || unit > 0x7e)
        sbuf_addf(out, "\\u%04x", (unsigned)unit);
    else
        sbuf_addc(out, (char)unit);
}

static uint32_t first_unit(uint32_t cp)
{
    return cp < 0x10000 ? cp : 0xd800 + ((cp - 0x10000) >> 10);
}

void lexer_put_escaped(struct sbuf *out, struct slice text)
{
    size_t used;

    for (size_t i = 0; i < text.n; i += used) {
        uint32_t cp = utf_decode(text.p + i, text.n - i, &used);
        put_unit(out, first_unit(cp));
        if (cp >= 0x10000)
            put_unit(out, 0xdc00 + (cp & 0x3ff));
    }
}

/* Errors. */

/* More units are wanted, but *l stands behind the last one. after: what was read of the token, if it is two
 * units or more. */
static int fail_at_end(struct lexer *l, struct slice after, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    char last = l->text.p[l->text.n - 1];
    bool is_newline = last == '\n' || last == '\r';

    sbuf_addf(&out, "Lexical error at line %zu, column %zu.  Encountered: <EOF> after : \"",
              l->last.line + is_newline, is_newline ? 0 : l->last.column + 1);
    lexer_put_escaped(&out, after);
    sbuf_addc(&out, '"');
    return err_set_text(err, ERR_SPEC, sbuf_slice(&out));
}

/* The scan from `start` cannot go on with the unit at `bad`. */
static int fail_unit(struct lexer *l, size_t start, size_t bad, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    size_t used;
    uint32_t cp = utf_decode(l->text.p + bad, l->text.n - bad, &used);

    step_to(l, bad + used);
    if (at_end(l) && cp < 0x10000)
        return fail_at_end(l, slice_of(l->text.p + start, bad > start ? l->at - start : 0), err);
    sbuf_addf(&out, "Lexical error at line %zu, column %zu.  Encountered: \"", l->last.line,
              l->last.column - (cp >= 0x10000));
    put_unit(&out, first_unit(cp));
    sbuf_addf(&out, "\" (%u), after : \"", (unsigned)first_unit(cp));
    lexer_put_escaped(&out, slice_of(l->text.p + start, bad - start));
    sbuf_addc(&out, '"');
    return err_set_text(err, ERR_SPEC, sbuf_slice(&out));
}

/* Scanning. */

static bool is_letter(unsigned char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');
}

static bool is_name_unit(unsigned char b)
{
    return is_letter(b) || (b >= '0' && b <= '9') || b == '_' || b == '$' || b == '-';
}

static int finish(struct lexer *l, enum token_kind kind, size_t end, struct token *ret_token)
{
    size_t start = l->at;

    step(l);
    *ret_token = (struct token){ kind, slice_of(l->text.p + start, end - start), l->last };
    step_to(l, end);
    return 0;
}

static int scan_word(struct lexer *l, struct token *ret_token)
{
    size_t end = l->at;
    enum token_kind kind = TOKEN_IDENTIFIER;

    while (end < l->text.n && is_name_unit((unsigned char)l->text.p[end]))
        end++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (words[i].n == end - l->at && memcmp(words[i].text, l->text.p + l->at, words[i].n) == 0)
            kind = words[i].kind;
    return finish(l, kind, end, ret_token);
}

/* The end of an include literal whose `#include` ends at `at`, or 0. */
static size_t literal_end(const struct lexer *l, size_t at)
{
    while (at < l->text.n && (l->text.p[at] == ' ' || l->text.p[at] == '\t'))
        at++;
    if (at == l->text.n || l->text.p[at] != '<')
        return 0;
    const char *close = memchr(l->text.p + at, '>', l->text.n - at);
    return close ? (size_t)(close - l->text.p) + 1 : 0;
}

static int scan_include(struct lexer *l, struct token *ret_token, struct err *err)
{
    static const char word[] = "#include";
    size_t start = l->at, n = 0;

    while (word[n] && start + n < l->text.n && l->text.p[start + n] == word[n])
        n++;
    if (!word[n]) {
        size_t end = literal_end(l, start + n);
        return end ? finish(l, TOKEN_INCLUDE_LITERAL, end, ret_token)
                   : finish(l, TOKEN_INCLUDE, start + n, ret_token);
    }
    if (start + n < l->text.n)
        return fail_unit(l, start, start + n, err);
    step_to(l, l->text.n);
    return fail_at_end(l, slice_of(l->text.p + start, n >= 2 ? n : 0), err);
}

/* Returns 1 if a comment was skipped. */
static int skip_comment(struct lexer *l, struct err *err)
{
    size_t start = l->at;

    if (start + 1 == l->text.n || l->text.p[start + 1] != '*')
        return fail_unit(l, start, start + 1 == l->text.n ? start : start + 1, err);
    if (start + 2 == l->text.n) {
        step_to(l, l->text.n); /* a text that ends here is taken as ending before the comment */
        return 1;
    }
    const char *close = memmem(l->text.p + start + 2, l->text.n - start - 2, "*/", 2);
    if (!close) {
        step_to(l, l->text.n);
        return fail_at_end(l, SLICE(""), err);
    }
    step_to(l, (size_t)(close - l->text.p) + 2);
    l->comment = slice_of(l->text.p + start, l->at - start);
    return 1;
}

int lexer_next(struct lexer *l, struct token *ret_token, struct err *err)
{
    while (!at_end(l)) {
        unsigned char b = (unsigned char)l->text.p[l->at];

        if (b == ' ' || b == '\t' || b == '\n' || b == '\r') {
            step(l);
            continue;
        }
        if (is_letter(b))
            return scan_word(l, ret_token);
        if (b < 0x80 && marks[b])
            return finish(l, (enum token_kind)marks[b], l->at + 1, ret_token);
        if (b == '#')
            return scan_include(l, ret_token, err);
        if (b != '/')
            return fail_unit(l, l->at, l->at, err);
        int rc = skip_comment(l, err);
        if (rc < 0)
            return rc;
    }
    *ret_token = (struct token){ TOKEN_EOF, SLICE(""), l->last };
    return 0;
}
