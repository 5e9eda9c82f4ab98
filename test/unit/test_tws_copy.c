#include "test/unit/t.h"

#include "tws/copy.h"

struct place_case {
    const char *url;
    const char *error; /* NULL: it is read */
    bool https;
    const char *host;
    int port;
};

static const struct place_case places[] = {
    { "http://example.org", NULL, false, "example.org", 80 },
    { "https://example.org/services/ws", NULL, true, "example.org", 443 },
    { "HTTPS://Example.ORG:8443?x=http://other/", NULL, true, "example.org", 8443 },
    { "  http://127.0.0.1:7058/ \n", NULL, false, "127.0.0.1", 7058 },
    { "http://[::1]:80/", NULL, false, "::1", 80 },
    { "https://[2001:DB8::1]#f", NULL, true, "2001:db8::1", 443 },
    { "http://host:/x", NULL, false, "host", 80 },
    { "", "no protocol: ", false, NULL, 0 },
    { "nowhere", "no protocol: nowhere", false, NULL, 0 },
    { "//example.org/", "no protocol: //example.org/", false, NULL, 0 },
    { "x/y:z", "no protocol: x/y:z", false, NULL, 0 },
    { "1http://example.org", "no protocol: 1http://example.org", false, NULL, 0 },
    { "FTP://example.org/", "unknown protocol: ftp", false, NULL, 0 },
    { "file:///etc/passwd", "unknown protocol: file", false, NULL, 0 },
    { "jar:file:x!/", "unknown protocol: jar", false, NULL, 0 },
    { "http:example.org", "no host: http:example.org", false, NULL, 0 },
    { "http:///x", "no host: http:///x", false, NULL, 0 },
    { "http://listed@evil/", "not a plain http or https URL: http://listed@evil/", false, NULL, 0 },
    { "http://a\\b/", "not a plain http or https URL: http://a\\b/", false, NULL, 0 },
    { "http://a b/", "not a plain http or https URL: http://a b/", false, NULL, 0 },
    { "http://a/x y", "not a plain http or https URL: http://a/x y", false, NULL, 0 },
    { "http://a%2eb/", "not a plain http or https URL: http://a%2eb/", false, NULL, 0 },
    { "http://h\xc3\xb6st/", "not a plain http or https URL: http://h\xc3\xb6st/", false, NULL, 0 },
    { "http://a:70000/", "not a plain http or https URL: http://a:70000/", false, NULL, 0 },
    { "http://a:0/", "not a plain http or https URL: http://a:0/", false, NULL, 0 },
    { "http://a:+80/", "not a plain http or https URL: http://a:+80/", false, NULL, 0 },
    { "http://a:80:90/", "not a plain http or https URL: http://a:80:90/", false, NULL, 0 },
    { "http://[::1/", "not a plain http or https URL: http://[::1/", false, NULL, 0 },
    { "http://[::1]x/", "not a plain http or https URL: http://[::1]x/", false, NULL, 0 },
    { "http://:80/", "not a plain http or https URL: http://:80/", false, NULL, 0 },
};

static void test_places(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const struct place_case *c = &places[i];
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct copy_place place = { false, SLICE(""), 0 };
        int rc = copy_place_read(slice_str(c->url), &arena, &place, &err);
        if (c->error) {
            assert_string_equal(err_text(&err), c->error);
            assert_int_equal(rc, -ERR_ARGUMENT);
            continue;
        }
        assert_string_equal(err_text(&err), "");
        assert_int_equal(rc, 0);
        assert_int_equal(place.https, c->https);
        assert_true(slice_is(place.host, c->host));
        assert_int_equal(place.port, c->port);
    }
}

static void test_listed(void **state UNUSED)
{
    static char texts[][20] = { "One.example", "two.example:8080", "[::1]:7", "fe80::1", "bad:port:x" };
    static char *items[] = { texts[0], texts[1], texts[2], texts[3], texts[4] };
    static const struct config_list hosts = { ARRAY_LEN(items), items };
    static const struct {
        const char *url;
        bool listed;
    } cases[] = {
        { "http://one.EXAMPLE/", true },
        { "https://one.example:99/", true },
        { "http://two.example/", false },
        { "https://two.example:8080/", true },
        { "http://[::1]:7/", true },
        { "http://[::1]/", false },
        { "http://[fe80::1]:5/", true },
        { "http://one.example.evil/", false },
        { "http://xone.example/", false },
        { "http://one.example./", false },
        { "http://[0:0:0:0:0:0:0:1]:7/", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ARENA(arena);
        struct copy_place place;
        assert_int_equal(copy_place_read(slice_str(cases[i].url), &arena, &place, NULL), 0);
        assert_int_equal(copy_place_listed(&place, &hosts), cases[i].listed);
    }
}

#define GOOD \
    "{\"version\":\"1.1\",\"result\":[{\"spec\":\"module M " \
    "{\\n};\\n\",\"types\":{\"M.A-1.0\":\"{}\",\"M.B-0.1\":\"{}\"}," \
    "\"included_spec_version\":{\"Y\":9007199254740993,\"X\":2},\"chsum\":\"0123\",\"functions\":[\"M.f-1." \
    "0\"]}]}"

static void test_good_answer(void **state UNUSED)
{
    AUTO_ARENA(arena);
    struct copy_module module;

    assert_int_equal(copy_answer_read(200, slice_str(GOOD), &arena, &module, NULL), 0);
    assert_true(slice_is(module.spec, "module M {\n};\n"));
    assert_true(slice_is(module.md5, "0123"));
    assert_int_equal(module.type_count, 2);
    assert_true(slice_is(module.types[0], "A"));
    assert_true(slice_is(module.types[1], "B"));
    assert_int_equal(module.include_count, 2);
    assert_true(slice_is(module.includes[0].module, "Y"));
    assert_int_equal(module.includes[0].version, INT64_C(9007199254740993));
    assert_int_equal(module.includes[1].version, 2);
    /* proxies may change the status of what went well */
    assert_int_equal(copy_answer_read(203, slice_str(GOOD), &arena, &module, NULL), 0);
}

static void test_bad_answers(void **state UNUSED)
{
    static const struct {
        int status;
        const char *body, *error;
    } cases[] = {
        { 500, "{\"error\":{\"code\":-32500,\"message\":\"Module doesn't exist: M\"}}",
          "Module doesn't exist: M" },
        { 200, "{\"error\":{\"message\":\"told\"},\"result\":[{}]}", "told" },
        { 500, "{\"error\":{\"message\":null}}", "An unknown server error occured" },
        { 500, "{\"error\":5}", "An unknown server error occured" },
        { 200, "{\"result\":null}", "An unknown server error occured" },
        { 200, "{\"result\":[]}", "An unknown server error occured" },
        { 200, "{\"result\":[null]}", "An unknown server error occured" },
        { 200, "{}", "An unknown server error occured" },
        { 200, "[]", "An unknown server error occured" },
        { 200, "<html>", "Server response is not in JSON format" },
        { 200, "", "Server response is not in JSON format" },
        { 302, "{}", "Server returned HTTP response code: 302" },
        { 404, GOOD, "Server returned HTTP response code: 404" },
        { 500, GOOD, "Server response contains result but has error code 500" },
        { 200, "{\"result\":[{}]}", "The external workspace service's answer has no proper member spec" },
        { 200, "{\"result\":[{\"spec\":\"\",\"chsum\":null}]}",
          "The external workspace service's answer has no proper member chsum" },
        { 200, "{\"result\":[{\"spec\":\"\",\"chsum\":\"\",\"types\":[]}]}",
          "The external workspace service's answer has no proper member types" },
        { 200,
          "{\"result\":[{\"spec\":\"\",\"chsum\":\"\",\"types\":{\"A\":\"\"},\"included_spec_version\":{}}]}",
          "Type A could not be split into a module and name" },
        { 200,
          "{\"result\":[{\"spec\":\"\",\"chsum\":\"\",\"types\":{},\"included_spec_version\":{\"X\":1.5}}]}",
          "The external workspace service's answer has no proper version of an include" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct copy_module module;
        assert_true(copy_answer_read(cases[i].status, slice_str(cases[i].body), &arena, &module, &err) < 0);
        assert_string_equal(err_text(&err), cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_good_answer),
        cmocka_unit_test(test_bad_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
