#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "shared/base/double_print.h"
#include "shared/base/json.h"

static const struct json_limits limits = { .max_depth = 1000, .max_nodes = 100000 };

static struct json_val *read_fine(struct slice text, struct arena *arena)
{
    AUTO_ERR(err);
    struct json_val *val = NULL;
    int rc = json_read(text, &limits, arena, &val, NULL, &err);

    if (rc)
        fail_msg("%s: %s", text.p, err_text(&err));
    return val;
}

static void assert_slice(struct slice got, struct slice want)
{
    assert_int_equal(got.n, want.n);
    if (want.n)
        assert_memory_equal(got.p, want.p, want.n);
}

static void test_scalars(void **state)
{
    static const struct {
        struct slice text;
        enum json_kind kind;
        struct slice value;
    } rows[] = {
        { SLICE(" \t\r\nnull"), JSON_KIND_NULL, SLICE("") },
        { SLICE("true"), JSON_KIND_TRUE, SLICE("") },
        { SLICE("false,"), JSON_KIND_FALSE, SLICE("") },
        { SLICE("0"), JSON_KIND_INT, SLICE("0") },
        { SLICE("-0 "), JSON_KIND_INT, SLICE("-0") },
        { SLICE("123456789012345678901234567890"), JSON_KIND_INT, SLICE("123456789012345678901234567890") },
        { SLICE("12.50"), JSON_KIND_FLOAT, SLICE("12.50") },
        { SLICE("-1E+05"), JSON_KIND_FLOAT, SLICE("-1E+05") },
        { SLICE("1e400"), JSON_KIND_FLOAT, SLICE("1e400") },
        { SLICE("\"\""), JSON_KIND_STRING, SLICE("") },
        { SLICE("\"a longer one without escapes\""), JSON_KIND_STRING,
          SLICE("a longer one without escapes") },
        { SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), JSON_KIND_STRING, SLICE("\"\\/\b\f\n\r\t") },
        { SLICE("\"nul \\u0000 in it\""), JSON_KIND_STRING, SLICE("nul \0 in it") },
        { SLICE("\"\\u00e9\\u20AC\""), JSON_KIND_STRING, SLICE("\xc3\xa9\xe2\x82\xac") },
        { SLICE("\"\\ud835\\udcb3\""), JSON_KIND_STRING, SLICE("\xf0\x9d\x92\xb3") },
        { SLICE("\"\\ud835\""), JSON_KIND_STRING, SLICE("\xed\xa0\xb5") },
        { SLICE("\"\\ud835x\\udcb3\""), JSON_KIND_STRING, SLICE("\xed\xa0\xb5x\xed\xb2\xb3") },
        { SLICE("\"\\ud835\\n\""), JSON_KIND_STRING, SLICE("\xed\xa0\xb5\n") },
        { SLICE("\"\\ud835\\ud835\\udcb3\""), JSON_KIND_STRING, SLICE("\xed\xa0\xb5\xf0\x9d\x92\xb3") },
        { SLICE("\"\\udcb3\\ud835\""), JSON_KIND_STRING, SLICE("\xed\xb2\xb3\xed\xa0\xb5") },
        { SLICE("\"\xed\xa0\xb5\xed\xb2\xb3\""), JSON_KIND_STRING, SLICE("\xef\xbf\xbd\xef\xbf\xbd") },
        { SLICE("\"a\xff\xff\xff\xff\xff\xff\xff\""), JSON_KIND_STRING,
          SLICE("a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
        { SLICE("\"T\xc3\""), JSON_KIND_STRING, SLICE("T\xef\xbf\xbd") },
        { SLICE("\"\x7f\""), JSON_KIND_STRING, SLICE("\x7f") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        struct json_val *val = read_fine(rows[i].text, &arena);
        assert_int_equal(val->kind, rows[i].kind);
        assert_slice(val->text, rows[i].value);
    }
}

static void test_containers(void **state)
{
    AUTO_ARENA(arena);
    struct slice text = SLICE(" {\"a\" : [1, [ ] ,{}], \"b\":\"x\", \"a\":2 } rest");
    struct json_val *val = NULL;
    size_t end = 0;

    (void)state;
    assert_int_equal(json_read(text, &limits, &arena, &val, &end, NULL), 0);
    assert_int_equal(val->kind, JSON_KIND_OBJECT);
    assert_int_equal(val->count, 3);
    assert_int_equal(val->begin, 1);
    assert_int_equal(val->end, end);
    assert_int_equal(end, text.n - 5);
    const struct json_val *list = val->first;
    assert_slice(list->key, SLICE("a"));
    assert_int_equal(list->count, 3);
    assert_slice(slice_of(text.p + list->begin, list->end - list->begin), SLICE("[1, [ ] ,{}]"));
    assert_int_equal(list->first->next->kind, JSON_KIND_ARRAY);
    assert_int_equal(list->first->next->count, 0);
    assert_int_equal(list->first->next->next->kind, JSON_KIND_OBJECT);
    assert_null(list->first->next->next->next);
    assert_slice(json_member(val, "a")->text, SLICE("2"));
    assert_slice(json_member(val, "b")->text, SLICE("x"));
    assert_null(json_member(val, "c"));
    const struct json_val **members;
    assert_int_equal(json_distinct(val, &arena, &members), 2);
    assert_slice(members[0]->key, SLICE("a"));
    assert_slice(members[0]->text, SLICE("2"));
    assert_slice(members[1]->key, SLICE("b"));
}

#define AT(column) "\n at [Source: (InputStreamReader); line: 1, column: " column "]"
#define OR_NAN ": was expecting 'null', 'true', 'false' or NaN"
#define NOT_ENABLED ": enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"
#define NO_DIGIT " in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value"
#define NO_FRACTION " in numeric value: Decimal point not followed by a digit"
#define NO_EXPONENT " in numeric value: Exponent indicator not followed by a digit"
#define COMMENT \
    "Unexpected character ('/' (code 47)): maybe a (non-standard) comment? (not recognized as one since " \
    "Feature 'ALLOW_COMMENTS' not enabled for parser)"
#define CONTROL(code) \
    "Illegal character ((CTRL-CHAR, code " code \
    ")): only regular white space (\\r, \\n, \\t) is allowed between tokens"

static void test_errors(void **state)
{
    static const struct {
        struct slice text;
        const char *error;
    } rows[] = {
        { SLICE(""), "No content to map due to end-of-input" AT("0") },
        { SLICE(" \n"), "No content to map due to end-of-input" AT("0") },
        { SLICE("{,}"),
          "Unexpected character (',' (code 44)): was expecting double-quote to start field name" AT("3") },
        { SLICE("{\"a\":1,}"),
          "Unexpected character ('}' (code 125)): was expecting double-quote to start field name" AT("9") },
        { SLICE("{'a':1}"),
          "Unexpected character (''' (code 39)): was expecting double-quote to start field name" AT("3") },
        { SLICE("{\"a\" 1}"),
          "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value" AT(
              "7") },
        { SLICE("{\"a\":1 2}"),
          "Unexpected character ('2' (code 50)): was expecting comma to separate Object entries" AT("9") },
        { SLICE("[1 2]"),
          "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries" AT("5") },
        { SLICE("[1,]"), "Unexpected character (']' (code 93)): expected a valid value (number, String, "
                         "array, object, 'true', 'false' or 'null')" AT("5") },
        { SLICE("[.5]"), "Unexpected character ('.' (code 46)): expected a valid value (number, String, "
                         "array, object, 'true', 'false' or 'null')" AT("3") },
        { SLICE("\xef\xbb\xbf{}"),
          "Unexpected character ('\xef\xbb\xbf' (code 65279 / 0xfeff)): expected a valid value (number, "
          "String, array, object, 'true', 'false' or 'null')" AT("2") },
        { SLICE("[01]"), "Invalid numeric value: Leading zeroes not allowed" AT("3") },
        { SLICE("[0x1]"),
          "Unexpected character ('x' (code 120)): was expecting comma to separate Array entries" AT("4") },
        { SLICE("[1}"), "Unexpected close marker '}': expected ']' (for Array starting at [Source: "
                        "(InputStreamReader); line: 1, column: 1])" AT("4") },
        { SLICE("{\"a\":[1"), "Unexpected end-of-input: expected close marker for Array (start marker at "
                              "[Source: (InputStreamReader); line: 1, column: 6])" AT("8") },
        { SLICE("{"), "Unexpected end-of-input: expected close marker for Object (start marker at [Source: "
                      "(InputStreamReader); line: 1, column: 1])" AT("2") },
        { SLICE("{\"a"), "Unexpected end-of-input in field name" AT("4") },
        { SLICE("{\"a\""), "Unexpected end-of-input within/between Object entries" AT("5") },
        { SLICE("[\"a"), "Unexpected end-of-input: was expecting closing quote for a string value" AT("4") },
        { SLICE("[\"\\u12"), "Unexpected end-of-input in character escape sequence" AT("7") },
        { SLICE("[\"\\"), "Unexpected end-of-input in character escape sequence" AT("4") },
        { SLICE("[\"\\x\"]"), "Unrecognized character escape 'x' (code 120)" AT("5") },
        { SLICE("[\"\\\0\"]"), "Unrecognized character escape (CTRL-CHAR, code 0)" AT("5") },
        { SLICE("[\"\\u12g4\"]"),
          "Unexpected character ('g' (code 103)): expected a hex-digit for character escape sequence" AT(
              "8") },
        { SLICE("[\"a\nb\"]"), "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using "
                               "backslash to be included in string value" AT("5") },
        { SLICE("{\"a\tb\":1}"), "Illegal unquoted character ((CTRL-CHAR, code 9)): has to be escaped using "
                                 "backslash to be included in name" AT("5") },
        { SLICE("-"), "Unexpected end-of-input within/between number" AT("2") },
        { SLICE("[-"), "Unexpected end-of-input within/between number" AT("3") },
        { SLICE("[1e"), "Unexpected end-of-input within/between number" AT("4") },
        { SLICE("[+"), "Unexpected end-of-input in a Number value" AT("3") },
        { SLICE("[-I"), "Unexpected end-of-input in a Number value" AT("4") },
        { SLICE("[1,}"), "Unexpected character ('}' (code 125)): expected a value" AT("5") },
        { SLICE("{\"a\":}"), "Unexpected character ('}' (code 125)): expected a value" AT("7") },
        /* words */
        { SLICE("[nul]"), "Unrecognized token 'nul'" OR_NAN AT("5") },
        { SLICE("[nul"), "Unrecognized token 'nul'" OR_NAN AT("5") },
        { SLICE("[truex]"), "Unrecognized token 'truex'" OR_NAN AT("7") },
        { SLICE("[Nope]"), "Unrecognized token 'Nope'" OR_NAN AT("6") },
        { SLICE("[Inf,1]"), "Unrecognized token 'Inf'" OR_NAN AT("5") },
        { SLICE("[-INFx]"), "Unrecognized token '-INFx'" OR_NAN AT("7") },
        { SLICE("[+IN/]"), "Unrecognized token '+IN'" OR_NAN AT("5") },
        { SLICE("[nul$]"), "Unrecognized token 'nul$'" OR_NAN AT("6") },
        { SLICE("[tr\xc3\xa9]"), "Unrecognized token 'tr\xc3\xa9'" OR_NAN AT("5") },
        { SLICE("[True]"), "Unrecognized token 'True': was expecting ('true', 'false' or 'null')" AT("6") },
        { SLICE("[$a]"), "Unrecognized token '$a': was expecting ('true', 'false' or 'null')" AT("4") },
        { SLICE("[NaN]"), "Non-standard token 'NaN'" NOT_ENABLED AT("5") },
        { SLICE("[NaN$]"), "Non-standard token 'NaN'" NOT_ENABLED AT("5") },
        { SLICE("[Infinity]"), "Non-standard token 'Infinity'" NOT_ENABLED AT("10") },
        { SLICE("[-INF]"), "Non-standard token '-INF'" NOT_ENABLED AT("6") },
        { SLICE("[+INF]"), "Non-standard token '+INF'" NOT_ENABLED AT("6") },
        { SLICE("[-Infinity]"), "Non-standard token '-Infinity'" NOT_ENABLED AT("11") },
        { SLICE("[+Infinity]"), "Non-standard token '+Infinity'" NOT_ENABLED AT("11") },
        /* numbers */
        { SLICE("[-]"), "Unexpected character (']' (code 93))" NO_DIGIT AT("4") },
        { SLICE("[+1]"), "Unexpected character ('1' (code 49))" NO_DIGIT AT("4") },
        { SLICE("[-Ix]"), "Unexpected character ('x' (code 120))" NO_DIGIT AT("5") },
        { SLICE("[1.]"), "Unexpected character (']' (code 93))" NO_FRACTION AT("4") },
        { SLICE("[-12.x]"), "Unexpected character ('x' (code 120))" NO_FRACTION AT("6") },
        { SLICE("[0.x]"), "Unexpected character ('x' (code 120))" NO_FRACTION AT("5") },
        { SLICE("[1e+]"), "Unexpected character (']' (code 93))" NO_EXPONENT AT("4") },
        { SLICE("[12.34ex]"), "Unexpected character ('x' (code 120))" NO_EXPONENT AT("5") },
        { SLICE("[-0.5e-x]"), "Unexpected character ('x' (code 120))" NO_EXPONENT AT("9") },
        /* what may stand nowhere between tokens */
        { SLICE("[/* c */1]"), COMMENT AT("3") },
        { SLICE("[1 /2]"), COMMENT AT("5") },
        { SLICE("{/"), COMMENT AT("3") },
        { SLICE("{\"a\"/:1}"), COMMENT AT("6") },
        { SLICE("{\"a\":/"), COMMENT AT("7") },
        { SLICE("[\x01]"), CONTROL("1") AT("3") },
        { SLICE("[null\x1f]"), CONTROL("31") AT("7") },
        { SLICE("{\"a\"\0"), CONTROL("0") AT("6") },
        { SLICE("\0"), CONTROL("0") AT("2") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct json_val *val = NULL;
        assert_int_equal(json_read(rows[i].text, &limits, &arena, &val, NULL, &err), -ERR_PARSE);
        assert_string_equal(err.text, rows[i].error);
        assert_null(val);
    }
}

static void test_long_word(void **state)
{
    char text[300] = "[", want[400];
    struct json_val *val;
    AUTO_ARENA(arena);
    AUTO_ERR(err);

    (void)state;
    memset(text + 1, 'x', sizeof(text) - 1);
    snprintf(want, sizeof(want),
             "Unrecognized token '%.256s...': was expecting ('true', 'false' or 'null')" AT("258"), text + 1);
    assert_int_equal(json_read(slice_of(text, sizeof(text)), &limits, &arena, &val, NULL, &err), -ERR_PARSE);
    assert_string_equal(err.text, want);
}

static void test_position(void **state)
{
    struct slice text = SLICE("a\r\nb\n\xf0\x9f\x98\x80\rc\xff"
                              "d");
    static const struct {
        size_t offset, line, column;
    } rows[] = { { 0, 1, 1 }, { 1, 1, 2 },  { 3, 2, 1 },  { 4, 2, 2 }, { 5, 3, 1 },
                 { 9, 3, 3 }, { 10, 4, 1 }, { 12, 4, 3 }, { 13, 4, 4 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t line, column;
        json_position(text, rows[i].offset, &line, &column);
        assert_int_equal(line, rows[i].line);
        assert_int_equal(column, rows[i].column);
    }
}

/* Neither the stack nor time grows out of hand with depth; the limit is an error. */
static void test_depth(void **state)
{
    enum { DEEP = 200000 };
    struct json_limits deep = { .max_depth = DEEP, .max_nodes = 2 * DEEP };
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct json_val *val = NULL;

    (void)state;
    for (int i = 0; i < DEEP; i++)
        sbuf_adds(&text, i % 2 ? "{\"a\":" : "[");
    sbuf_adds(&text, "1");
    for (int i = DEEP - 1; i >= 0; i--)
        sbuf_adds(&text, i % 2 ? "}" : "]");
    assert_int_equal(json_read(sbuf_slice(&text), &deep, &arena, &val, NULL, &err), 0);
    AUTO_SBUF(java, SBUF_NO_LIMIT);
    json_java_text(val, &java);
    assert_memory_equal(java.p, "[{a=[{a=", 8);
    assert_int_equal(json_read(sbuf_slice(&text), &limits, &arena, &val, NULL, &err), -ERR_PARSE);
    assert_memory_equal(err.text, "Containers are nested more than 1000 deep\n at ", 45);
}

static void test_node_limit(void **state)
{
    struct json_limits few = { .max_depth = 10, .max_nodes = 3 };
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct json_val *val = NULL;

    (void)state;
    assert_int_equal(json_read(SLICE("[1,2]"), &few, &arena, &val, NULL, &err), 0);
    assert_int_equal(json_read(SLICE("[1,2,3]"), &few, &arena, &val, NULL, &err), -ERR_PARSE);
    assert_memory_equal(err.text, "More than 3 values\n", 19);
}

/* Reading the outline finds the same errors at the same places, and the same values around what it leaves
 * out. */
static void test_outline(void **state)
{
    static const char *const texts[] = {
        "{\"p\":[1,{\"a\":[]},\"x\"],\"q\":2}",
        "{\"q\":[1,2],\"p\":{\"a\":1,\"b\":{\"p\":[3]}},\"r\":{\"p\":[4]}} rest",
        "{\"\\u0070\":[\"\\n\",\"\\ud83d\"],\"p\":[],\"p\":5}",
        "{\"p\":\"text\"}",
        "[{\"p\":[1]}]",
        "{\"p\":[1,2",
        "{\"p\":[1,2}",
        "{\"p\":[1 2]}",
        "{\"p\":[,1]}",
        "{\"p\":[1,]}",
        "{\"p\":{\"a\":1,}}",
        "{\"p\":{\"a\" 1}}",
        "{\"p\":{1:1}}",
        "{\"p\":[01]}",
        "{\"p\":[1.]}",
        "{\"p\":[nul]}",
        "{\"p\":[\"\\x\"]}",
        "{\"p\":[\"a\nb\"]}",
        "{\"p\":[\"\xff\\u12\"]}",
        "{\"p\":[[[[]]]],\"q\":]}",
        "{\"p\":[],}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(whole_err);
        AUTO_ERR(err);
        struct json_val *whole = NULL, *val = NULL;
        size_t whole_end = 0, end = 0;
        struct slice text = slice_str(texts[i]);
        int rc = json_read(text, &limits, &arena, &whole, &whole_end, &whole_err);
        assert_int_equal(json_read_outline(text, &limits, "p", &arena, &val, &end, &err), rc);
        assert_string_equal(err_text(&err), err_text(&whole_err));
        if (rc < 0)
            continue;
        assert_int_equal(end, whole_end);
        assert_int_equal(val->count, whole->count);
        const struct json_val *b = val->first;
        for (const struct json_val *a = whole->first; a; a = a->next, b = b->next) {
            bool unread = whole->kind == JSON_KIND_OBJECT && a->key.n == 1 && a->key.p[0] == 'p' && a->first;
            assert_int_equal(a->kind, b->kind);
            assert_int_equal(a->begin, b->begin);
            assert_int_equal(a->end, b->end);
            assert_int_equal(a->count, b->count);
            assert_true(unread ? b->first == NULL : (a->first == NULL) == (b->first == NULL));
        }
        assert_null(b);
    }
}

/* What is left out takes no memory, but its depth is limited. */
static void test_outline_limits(void **state)
{
    struct json_limits few = { .max_depth = 5, .max_nodes = 3 };
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct json_val *val = NULL;

    (void)state;
    sbuf_adds(&text, "{\"p\":[1");
    for (int i = 0; i < 100000; i++)
        sbuf_adds(&text, ",\"\\u0041\"");
    sbuf_adds(&text, "],\"q\":1}");
    assert_int_equal(json_read_outline(sbuf_slice(&text), &few, "p", &arena, &val, NULL, &err), 0);
    assert_int_equal(val->first->count, 100001);
    assert_true(arena_used(&arena) < 4096);
    assert_int_equal(json_read_outline(SLICE("{\"p\":[[[[[1]]]]]}"), &few, "p", &arena, &val, NULL, &err),
                     -ERR_PARSE);
    assert_memory_equal(err.text, "Containers are nested more than 5 deep\n", 39);
}

static void test_encodings(void **state)
{
    static const struct {
        struct slice body;
        int unit;
        bool big;
        struct slice text;
    } rows[] = {
        { SLICE("{}"), 1, false, SLICE("{}") },
        { SLICE("{\0}\0"), 2, false, SLICE("{}") },
        { SLICE("\0{\0}"), 2, true, SLICE("{}") },
        { SLICE("{\0\0\0}\0\0\0"), 4, false, SLICE("{}") },
        { SLICE("\0\0\0{\0\0\0}"), 4, true, SLICE("{}") },
        { SLICE("\0[\0\"\xd8\x3d\xde\x00\0\"\0]"), 2, true, SLICE("[\"\xf0\x9f\x98\x80\"]") },
        { SLICE("[\0\"\0\x3d\xd8\x00\xde\"\0]\0"), 2, false, SLICE("[\"\xf0\x9f\x98\x80\"]") },
        { SLICE("\0[\0\"\xdc\x00\0\""), 2, true, SLICE("[\"\xef\xbf\xbd\"") },
        { SLICE("\0[\0\"\xd8\x35\0\"\0]"), 2, true, SLICE("[\"\xef\xbf\xbd]") }, /* takes the quote with it */
        { SLICE("\0[\0\"\0"), 2, true, SLICE("[\"\xef\xbf\xbd") },
        { SLICE("\0\0\0[\0\x11\0\0\0\0\0]"), 4, true, SLICE("[\xef\xbf\xbd]") },
        { SLICE("\0\0\0[\0\0\xd8\0\0\0"), 4, true, SLICE("[\xef\xbf\xbd\xef\xbf\xbd") },
        { SLICE("\0{"), 1, false, SLICE("\0{") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(buf, 1000);
        int unit;
        bool big;
        struct slice text = json_to_utf8(rows[i].body, &buf, &unit, &big);
        assert_slice(text, rows[i].text);
        assert_int_equal(unit, rows[i].unit);
        assert_int_equal(big, rows[i].big);
        assert_int_equal(json_raw_offset(rows[i].body, unit, big, text.n), rows[i].body.n);
        assert_int_equal(json_raw_offset(rows[i].body, unit, big, 0), 0);
        assert_int_equal(json_raw_offset(rows[i].body, unit, big, 1), unit);
    }
}

static void test_put_string(void **state)
{
    static const struct {
        struct slice text;
        const char *sent, *raw;
    } rows[] = {
        { SLICE(""), "\"\"", "\"\"" },
        { SLICE("plain / text"), "\"plain / text\"", "\"plain / text\"" },
        { SLICE("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"", "\"\\\"\\\\\\b\\f\\n\\r\\t\"" },
        { SLICE("\0\x1f\x7f"), "\"\\u0000\\u001F\x7f\"", "\"\\u0000\\u001F\x7f\"" },
        { SLICE("\xc3\xa9\xe2\x80\xa8\xed\x9f\xbf\xef\xbf\xbd"),
          "\"\xc3\xa9\xe2\x80\xa8\xed\x9f\xbf\xef\xbf\xbd\"",
          "\"\xc3\xa9\xe2\x80\xa8\xed\x9f\xbf\xef\xbf\xbd\"" },
        { SLICE("\xf0\x9f\x98\x80!"), "\"\\uD83D\\uDE00!\"", "\"\xf0\x9f\x98\x80!\"" },
        { SLICE("\xed\xa0\xbd"), "\"\\uD83D\"", "\"\xed\xa0\xbd\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(sent, 1000);
        AUTO_SBUF(raw, 1000);
        AUTO_SBUF(inside, 1000);
        json_put_string(&sent, rows[i].text);
        assert_string_equal(sent.p, rows[i].sent);
        json_put_string_raw(&raw, rows[i].text);
        assert_string_equal(raw.p, rows[i].raw);
        json_put_escaped(&inside, rows[i].text);
        assert_slice(sbuf_slice(&inside), slice_of(sent.p + 1, sent.len - 2));
    }
}

static void test_double_text(void **state)
{
    static const struct {
        double d;
        const char *text;
    } rows[] = {
        { 0, "0.0" },
        { -0.0, "-0.0" },
        { 1, "1.0" },
        { 0.25, "0.25" },
        { -1.5, "-1.5" },
        { 1000, "1000.0" },
        { 123456.75, "123456.75" },
        { 9999999, "9999999.0" },
        { 1e7, "1.0E7" },
        { 123456789, "1.23456789E8" },
        { 0.001, "0.001" },
        { 0.00999, "0.00999" },
        { 0.0001, "1.0E-4" },
        { 9.9999e-4, "9.9999E-4" },
        { 0.1, "0.1" },
        { 1.0 / 3, "0.3333333333333333" },
        { 18014398509481984.0, "1.8014398509481984E16" },
        { 577014396719900032.0, "5.7701439671990003E17" },
        { 1e18, "1.0E18" },
        { 9223372036854775807.0, "9.223372036854776E18" },
        { 1.7976931348623157e308, "1.7976931348623157E308" },
        /* where upstream does not give the shortest, or nearly not */
        { 0x1.0f0cf064dd592p73, "1.0E22" },
        { 0x1.52d02c7e14af6p76, "9.999999999999999E22" },
        { 0x1.52d02c7e14af6p77, "1.9999999999999998E23" },
        { 0x1.0069efb362cdap72, "4.729999999999999E21" },
        { 0x1.52d02c7e14af6p86, "1.024E26" },
        { 0x1p-248, "2.2108591501041778E-75" },
        { 0x1p-854, "8.324989663719589E-258" },
        { 0x0.0000000004p-1022, "8.0948E-320" },
        { 0x1p89, "6.1897001964269014E26" },
        { 0x1p-1022, "2.2250738585072014E-308" },
        { 0x1.8d4p84, "3.0015361365119464E25" },
        { 0x1.4c4p84, "2.5104100222935033E25" },
        { 0x1.57p64, "2.4715754755009282E19" },
        { 0x1.e3d71f622be94p-665, "1.2345678901234567E-200" },
        { 0x1.09f83d7b45314p-329, "9.5E-100" },
        { 0x1.7e43c8800759cp996, "1.0E300" },
        { 0x1.fffffffffffffp84, "3.868562622766813E25" },
        { 0x1p-1074, "4.9E-324" },
        { 0x2p-1074, "1.0E-323" },
        { 0xap-1074, "4.9E-323" },
        { 0x1p-1069, "1.58E-322" },
        { INFINITY, "Infinity" },
        { -INFINITY, "-Infinity" },
        { NAN, "NaN" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(out, 100);
        java_double_text(rows[i].d, &out);
        assert_string_equal(out.p, rows[i].text);
    }
}

static void test_java_text(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "\"a\"", "a" },
        { "42", "42" },
        { "-0", "0" },
        { "123456789012345678901", "123456789012345678901" },
        { "0.25", "0.25" },
        { "1e3", "1000.0" },
        { "1e999", "Infinity" },
        { "true", "true" },
        { "false", "false" },
        { "{\"a\":1}", "{a=1}" },
        { "{}", "{}" },
        { "[]", "[]" },
        { "[1,\"b\"]", "[1, b]" },
        { "{\"a\":1,\"b\":[\"b\",null,1.5],\"\":{}}", "{a=1, b=[b, null, 1.5], ={}}" },
        { "{\"x\":1,\"y\":2,\"x\":[3]}", "{x=[3], y=2}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(out, 1000);
        json_java_text(read_fine(slice_str(rows[i].json), &arena), &out);
        assert_string_equal(out.p, rows[i].text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_position),       cmocka_unit_test(test_depth),
        cmocka_unit_test(test_node_limit),     cmocka_unit_test(test_outline),
        cmocka_unit_test(test_outline_limits), cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_put_string),     cmocka_unit_test(test_double_text),
        cmocka_unit_test(test_java_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
