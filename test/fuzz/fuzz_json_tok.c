/*
 * The push tokenizer: any bytes, cut anywhere, give the tokens or the error text that the reader of whole
 * texts gives. The first byte of the input says how it is cut.
 */
#include "shared/base/json.h"
#include "shared/base/json_tok.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 40 };

static void require(bool fine)
{
    if (!fine)
        abort();
}

static void put(struct sbuf *out, char what, struct slice text)
{
    sbuf_addc(out, what);
    sbuf_add_slice(out, text);
    sbuf_addc(out, '\n');
}

static void by_tokens(struct slice text, size_t piece, struct sbuf *out)
{
    static const char names[] = "...nftidsskOoAa";
    const struct json_tok_limits limits = { DEPTH, 1 << 20 };
    struct json_tok tok;
    enum json_token token;
    char *copy = NULL;
    size_t at = 0;
    AUTO_ERR(err);
    AUTO_SBUF(string, SBUF_NO_LIMIT);

    json_tok_init(&tok, &limits);
    do {
        size_t n = piece < text.n - at ? piece : text.n - at;
        free(copy);
        copy = xmalloc(n + !n);
        memcpy(copy, text.p + at, n);
        json_tok_feed(&tok, slice_of(copy, n));
        if (!n)
            json_tok_end(&tok);
        at += n;
        while ((token = json_tok_next(&tok, &err)) > JSON_TOKEN_END) {
            if (token == JSON_TOKEN_PIECE || token == JSON_TOKEN_STRING) {
                if (tok.escaped)
                    json_put_unescaped(&string, tok.text);
                else
                    sbuf_add_slice(&string, tok.text);
            }
            if (token == JSON_TOKEN_PIECE)
                continue;
            bool has_text = token >= JSON_TOKEN_INT && token <= JSON_TOKEN_KEY;
            put(out, names[token],
                token == JSON_TOKEN_STRING ? sbuf_slice(&string)
                : has_text                 ? tok.text
                                           : SLICE(""));
            sbuf_reset(&string);
        }
    } while (token == JSON_TOKEN_MORE);
    if (token == JSON_TOKEN_ERROR) {
        sbuf_reset(out);
        sbuf_add(out, err.text, err.len);
    } else {
        sbuf_addf(out, "%llu", (unsigned long long)json_tok_offset(&tok));
    }
    json_tok_release(&tok);
    free(copy);
}

/* No deeper than DEPTH. */
static void by_tree(const struct json_val *val, struct sbuf *out)
{
    static const char names[] = "nftidsAO";

    put(out, names[val->kind],
        val->kind == JSON_KIND_ARRAY || val->kind == JSON_KIND_OBJECT ? SLICE("") : val->text);
    for (const struct json_val *child = val->first; child; child = child->next) {
        if (val->kind == JSON_KIND_OBJECT)
            put(out, 'k', child->key);
        by_tree(child, out);
    }
    if (val->kind >= JSON_KIND_ARRAY)
        put(out, val->kind == JSON_KIND_OBJECT ? 'o' : 'a', SLICE(""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = { DEPTH, 1000000 };
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct json_val *val;
    size_t end;

    if (!size)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    if (json_read(text, &limits, &arena, &val, &end, &err)) {
        sbuf_add(&want, err.text, err.len);
    } else {
        by_tree(val, &want);
        sbuf_addf(&want, "%zu", end);
    }
    by_tokens(text, data[0] ? data[0] : size, &got);
    require(slice_eq(sbuf_slice(&want), sbuf_slice(&got)));
    return 0;
}
