#include "test/unit/t.h"

#include "shared/base/json.h"
#include "shared/base/json_tok.h"

static const struct json_tok_limits limits = { .max_depth = 6, .max_text = 100 };
static const struct json_limits tree_limits = { .max_depth = 6, .max_nodes = 1000 };

/* What the tokenizer says of a text that comes in pieces of n bytes, after a first one of `first` bytes. */
static void describe(struct slice text, size_t first, size_t n, struct sbuf *out)
{
    static const char *const names[] = {
        [JSON_TOKEN_NULL] = "null",    [JSON_TOKEN_FALSE] = "false", [JSON_TOKEN_TRUE] = "true",
        [JSON_TOKEN_INT] = "i ",       [JSON_TOKEN_FLOAT] = "f ",    [JSON_TOKEN_STRING] = "s ",
        [JSON_TOKEN_PIECE] = "s ",     [JSON_TOKEN_KEY] = "k ",      [JSON_TOKEN_OBJECT] = "{",
        [JSON_TOKEN_OBJECT_END] = "}", [JSON_TOKEN_ARRAY] = "[",     [JSON_TOKEN_ARRAY_END] = "]",
    };
    struct json_tok tok;
    enum json_token token;
    bool inside = false;
    char *copy = NULL;
    AUTO_ERR(err);

    json_tok_init(&tok, &limits);
    for (size_t at = 0;; at += first, first = n) {
        if (at < text.n) {
            first = first < text.n - at ? first : text.n - at;
            free(copy);
            copy = xmalloc(first);
            memcpy(copy, text.p + at, first);
            json_tok_feed(&tok, slice_of(copy, first));
        } else {
            json_tok_feed(&tok, SLICE(""));
            json_tok_end(&tok);
        }
        while ((token = json_tok_next(&tok, &err)) > JSON_TOKEN_END) {
            if (!inside)
                sbuf_adds(out, names[token]);
            bool has_text = token >= JSON_TOKEN_INT && token <= JSON_TOKEN_KEY;
            if (has_text && tok.escaped && (token == JSON_TOKEN_STRING || token == JSON_TOKEN_PIECE))
                json_put_unescaped(out, tok.text);
            else if (has_text)
                sbuf_add_slice(out, tok.text);
            inside = token == JSON_TOKEN_PIECE;
            if (!inside)
                sbuf_addc(out, '\n');
        }
        if (token != JSON_TOKEN_MORE)
            break;
    }
    if (token == JSON_TOKEN_ERROR) {
        sbuf_reset(out);
        sbuf_add(out, err.text, err.len);
    } else {
        sbuf_addf(out, "%llu", (unsigned long long)json_tok_offset(&tok));
    }
    json_tok_release(&tok);
    free(copy);
}

static void describe_scalar(const struct json_val *val, struct sbuf *out)
{
    static const char *const names[] = {
        [JSON_KIND_NULL] = "null", [JSON_KIND_FALSE] = "false", [JSON_KIND_TRUE] = "true",
        [JSON_KIND_INT] = "i ",    [JSON_KIND_FLOAT] = "f ",    [JSON_KIND_STRING] = "s "
    };

    sbuf_adds(out, names[val->kind]);
    sbuf_add_slice(out, val->text);
    sbuf_addc(out, '\n');
}

/* The same from the reader that builds trees; as deep as its limit allows. */
static void describe_tree(const struct json_val *val, struct sbuf *out)
{
    bool is_object = val->kind == JSON_KIND_OBJECT;

    if (val->kind < JSON_KIND_ARRAY) {
        describe_scalar(val, out);
        return;
    }
    sbuf_adds(out, is_object ? "{\n" : "[\n");
    for (const struct json_val *child = val->first; child; child = child->next) {
        if (is_object) {
            sbuf_adds(out, "k ");
            sbuf_add_slice(out, child->key);
            sbuf_addc(out, '\n');
        }
        describe_tree(child, out);
    }
    sbuf_adds(out, is_object ? "}\n" : "]\n");
}

static void read_tree(struct slice text, struct sbuf *out)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct json_val *val;
    size_t end;

    if (json_read(text, &tree_limits, &arena, &val, &end, &err)) {
        sbuf_add(out, err.text, err.len);
        return;
    }
    describe_tree(val, out);
    sbuf_addf(out, "%zu", end);
}

static void check_text(struct slice text)
{
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);

    read_tree(text, &want);
    for (size_t first = 1; first <= text.n + 1; first++)
        for (int rest = 0; rest < 2; rest++) {
            sbuf_reset(&got);
            describe(text, first, rest ? text.n + 1 : 1, &got);
            if (!slice_eq(sbuf_slice(&want), sbuf_slice(&got)))
                fail_msg("'%.*s' cut at %zu:\n%s\nnot\n%s", (int)text.n, text.p, first, got.p, want.p);
        }
}

static const struct slice texts[] = {
#define TEXT(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }
    TEXT(""),
    TEXT(" \r\n\t "),
    TEXT("{}"),
    TEXT("[] tail"),
    TEXT(" [1, -2.5e+10 ,0.0,-0,1E5,true,false,null,\"\"]"),
    TEXT("{\"a\":{\"b\":[{},[]]},\"c\":\"long enough a text to need more than one step\"}"),
    TEXT("\"\\u0041\\ud83d\\ude00\\ud83d\\n\\ude00\\ud83dx\\ud83d\\ud83d\\ude00\\\"\\/\\\\\\b\\f\\r\\t\""),
    TEXT("{\"\\u0041\\ud83d\\ude00\\ud83d\":1,\"\xc3\xa9\":2,\"\xf0\x9f\x98\x80\":3,\"\xff\":4}"),
    TEXT("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\xa0\x80 \xff \xc3\""),
    TEXT("\"\xe2\x82\""),
    TEXT("\"\xf0\x9f\x98"),
    TEXT("\"\\ud83d"),
    TEXT("[\"\xf0\x9f\x98\x80\xe2\x82\xac\xe2\x82\",\n\r\n\r \"x\", x]"),
    TEXT("12345"),
    TEXT("-"),
    TEXT("-x"),
    TEXT("01"),
    TEXT("[-01]"),
    TEXT("1."),
    TEXT("[1.]"),
    TEXT("1.5e"),
    TEXT("[1e+]"),
    TEXT("[1e+x]"),
    TEXT("[1.5.5]"),
    TEXT("[+1]"),
    TEXT("[.5]"),
    TEXT("nul"),
    TEXT("[nulll]"),
    TEXT("[tru\xc3\xa9,1]"),
    TEXT("[\xc3\xa9]"),
    TEXT("[\xf0\x9f\x98\x80]"),
    TEXT("[\xf0\x9f"),
    TEXT("[\xff]"),
    TEXT("[\x01]"),
    TEXT("[\"\\x\"]"),
    TEXT("[\"\\\xe2\x82\xac\"]"),
    TEXT("[\"\\u12g4\"]"),
    TEXT("[\"\\u12"),
    TEXT("[\"a\nb\"]"),
    TEXT("{\"a\tb\":1}"),
    TEXT("{\"a"),
    TEXT("{\"a\""),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\":"),
    TEXT("{\"a\":}"),
    TEXT("{\"a\":1,}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{a:1}"),
    TEXT("[1 2]"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[1}"),
    TEXT("\n\n {\"a\":[1,\n {\"b\": 2]}"),
    TEXT("[\n [ [1, \"\xe2\x82\xac\" ,"),
    TEXT("[[[[[[1]]]]]]"),
    TEXT("[[[[[[[1]]]]]]]"),
    TEXT("[1 /2]"),
    TEXT("{/"),
    TEXT("{\"a\"/:1}"),
    TEXT("{\"a\":/"),
    TEXT("[null\x1f]"),
    TEXT("[null\x7f]"),
    TEXT("[null$]"),
    TEXT("[nul$]"),
    TEXT("[nul\x01]"),
    TEXT("[nul\x00x]"),
    TEXT("[null\x00]"),
    TEXT("[NaN]"),
    TEXT("[NaN$"),
    TEXT("[NaNs]"),
    TEXT("[Na"),
    TEXT("[Infinity,1]"),
    TEXT("[Inf]"),
    TEXT("[-INF]"),
    TEXT("[+INF]"),
    TEXT("[-Infinity]"),
    TEXT("[+Infinity"),
    TEXT("[+Infinityy]"),
    TEXT("[-I"),
    TEXT("[-IN"),
    TEXT("[-Ix]"),
    TEXT("[-I\xc3\xa9]"),
    TEXT("[+"),
    TEXT("[+I"),
    TEXT("[+IN/]"),
    TEXT("[+\xe2\x82\xac]"),
    TEXT("[-\xf0\x9f\x98\x80]"),
    TEXT("[True]"),
    TEXT("[$a]"),
    TEXT("[a\xf0\x9f\x98\x80]"),
    TEXT("[null\xf0\x9f\x98\x80]"),
    TEXT("[tr\xe2\x82]"),
    TEXT("[-12.x]"),
    TEXT("[0.x]"),
    TEXT("[\n12.34e\xe2\x82\xac]"),
    TEXT("[0e+\xe2\x82\xac]"),
    TEXT("[1.\n]"),
    TEXT("[1,}"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\"nul \x00 byte\""),
    TEXT("\"nul\\u0000escape\""),
#undef TEXT
};

static void test_equals_the_tree_reader(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        check_text(texts[i]);
}

/* What looks like a number, some right and most not quite, with much behind it, as the fast ways want it. */
static void test_numbers(void **state)
{
    static const char letters[] = "0123456789012345678900..e-+E";
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        AUTO_SBUF(want, SBUF_NO_LIMIT);
        AUTO_SBUF(got, SBUF_NO_LIMIT);
        sbuf_adds(&text, i % 3 ? "[" : "[-");
        for (int n = 1 + i % 37; n--;) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            /* mostly digits, so that long ones are met */
            sbuf_addc(&text, letters[(random >> 20) % (i % 2 ? sizeof(letters) - 1 : 23)]);
        }
        sbuf_addf(&text, "%s%40s", i % 5 ? "]" : ",1]", "");
        read_tree(sbuf_slice(&text), &want);
        describe(sbuf_slice(&text), text.len, 1, &got);
        if (!slice_eq(sbuf_slice(&want), sbuf_slice(&got)))
            fail_msg("'%s':\n%s\nnot\n%s", text.p, got.p, want.p);
    }
}

static void test_limits(void **state)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);

    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const starts[] = { "{\"", "{\"\\n", "[1" };
        for (size_t cut = 1; cut < 300; cut += 298) {
            sbuf_reset(&text);
            sbuf_adds(&text, starts[i]);
            for (int k = 0; k < 101; k++)
                sbuf_addc(&text, '1');
            sbuf_adds(&text, i < 2 ? "\":1}" : "]");
            sbuf_reset(&got);
            describe(sbuf_slice(&text), cut, cut, &got);
            assert_non_null(strstr(got.p, " is longer than 100 bytes"));
        }
    }
}

static void test_position_goes_on(void **state)
{
    struct json_tok tok;
    AUTO_ERR(err);

    (void)state;
    json_tok_init(&tok, &limits);
    json_tok_set_position(&tok, (struct json_tok_position){ 3, 10 });
    json_tok_feed(&tok, SLICE("[x"));
    assert_int_equal(json_tok_next(&tok, &err), JSON_TOKEN_ARRAY);
    assert_int_equal(json_tok_position(&tok).column, 11);
    json_tok_end(&tok);
    assert_int_equal(json_tok_next(&tok, &err), JSON_TOKEN_ERROR);
    assert_non_null(strstr(err.text, "line: 3, column: 12]"));
    json_tok_release(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_tree_reader),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_position_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
