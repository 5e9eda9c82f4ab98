#include "test/unit/t.h"

#include "tws/texts.h"

struct site {
    struct store *store;
    int64_t fence;
};

static void put_spec(struct change_set *set, const char *module, int64_t version, const char *text)
{
    change_set_add(set, CHANGE_ADD_SPEC)->spec =
        (struct rec_spec){ slice_str(module), version, slice_str(text) };
}

static void put_row(struct change_set *set, enum change_kind kind, const char *name, int minor,
                    const char *text)
{
    change_set_add(set, kind)->row = (struct rec_row){ .module = SLICE("M"),
                                                       .name = slice_str(name),
                                                       .version = { 1, minor },
                                                       .module_version = 7,
                                                       .text = slice_str(text),
                                                       .md5 = SLICE("0123456789abcdef0123456789abcdef") };
}

static int open_site(void **state)
{
    struct site *site = xcalloc(1, sizeof(*site));
    struct lease_holder me = { .node = "0123456789abcdef0123456789abcdef", .host = "here", .pid = 1 }, other;
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct change_set set;

    assert_int_equal(store_sqlite_open(NULL, &site->store, &err), 0);
    assert_int_equal(store_lease_take(site->store, &me, 60000, &site->fence, &other, &err), 0);
    change_set_init(&set, &arena);
    put_row(&set, CHANGE_ADD_SCHEMA, "T", 0, "{\n \"a\\b\"\x01\xf0\x9f\x98\x80}");
    put_row(&set, CHANGE_ADD_SCHEMA, "T", 1, "second");
    put_row(&set, CHANGE_ADD_TYPE_PARSE, "T", 0, "tree");
    put_row(&set, CHANGE_ADD_FUNC_PARSE, "T", 0, "func");
    put_spec(&set, "M", 7, "module M {};\n");
    put_spec(&set, "M", 8, "other");
    assert_int_equal(store_commit(site->store, &set, site->fence, &err), 0);
    *state = site;
    return 0;
}

static int close_site(void **state)
{
    struct site *site = *state;

    store_close(site->store);
    free(site);
    return 0;
}

static struct text_key key_of(enum text_kind kind, const char *name, int minor)
{
    return (struct text_key){
        .kind = kind, .module = SLICE("M"), .name = slice_str(name), .version = { 1, minor }
    };
}

static struct text_key spec_of(const char *module, int64_t version)
{
    return (struct text_key){ .kind = TEXT_SPEC, .module = slice_str(module), .module_version = version };
}

static void expect(struct texts *texts, const struct text_key *key, bool may_block, int want_rc,
                   const char *want)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    AUTO_SBUF(out, 1 << 20);
    int rc = texts_put(texts, key, may_block, &arena, &out, &err);

    assert_int_equal(rc, want_rc);
    assert_string_equal(rc ? err_text(&err) : out.p, want);
}

static void test_escaped_and_kept(void **state)
{
    struct site *site = *state;
    AUTO(texts_free_auto) struct texts *texts = texts_new(site->store, 1 << 20);
    struct text_key schema = key_of(TEXT_SCHEMA, "T", 0), spec = spec_of("M", 7);
    static const char text[] = "\"{\\n \\\"a\\\\b\\\"\\u0001\\uD83D\\uDE00}\"";

    expect(texts, &schema, false, -ERR_AGAIN, "");
    expect(texts, &schema, true, 0, text);
    expect(texts, &schema, false, 0, text);
    expect(texts, &spec, false, -ERR_AGAIN, "");
    expect(texts, &spec, true, 0, "\"module M {};\\n\"");
    expect(texts, &spec, false, 0, "\"module M {};\\n\"");
}

static void test_records_do_not_mix(void **state)
{
    struct site *site = *state;
    AUTO(texts_free_auto) struct texts *texts = texts_new(site->store, 1 << 20);
    struct text_key keys[] = { key_of(TEXT_SCHEMA, "T", 1), key_of(TEXT_TYPE_PARSE, "T", 0),
                               key_of(TEXT_FUNC_PARSE, "T", 0), spec_of("M", 8) };
    static const char *const want[] = { "\"second\"", "\"tree\"", "\"func\"", "\"other\"" };

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            expect(texts, &keys[i], round == 0, 0, want[i]);
}

static void test_missing(void **state)
{
    struct site *site = *state;
    AUTO(texts_free_auto) struct texts *texts = texts_new(site->store, 1 << 20);
    struct text_key schema = key_of(TEXT_SCHEMA, "T", 9), tree = key_of(TEXT_TYPE_PARSE, "X", 0);
    struct text_key func = key_of(TEXT_FUNC_PARSE, "f", 2), spec = spec_of("N", 7);

    expect(texts, &schema, true, -ERR_STORE, "Type schema record was not found for M.T.1.9");
    expect(texts, &tree, true, -ERR_STORE, "Type parse record was not found for M.X.1.0");
    expect(texts, &func, true, -ERR_STORE, "Function parse record was not found for M.f.1.2");
    expect(texts, &spec, true, -ERR_NO_MODULE, "Module wasn't uploaded: N");
}

static void test_without_memory(void **state)
{
    struct site *site = *state;
    AUTO(texts_free_auto) struct texts *texts = texts_new(site->store, 0);
    struct text_key key = key_of(TEXT_SCHEMA, "T", 1);

    expect(texts, &key, true, 0, "\"second\"");
    expect(texts, &key, false, -ERR_AGAIN, "");
    expect(texts, &key, true, 0, "\"second\"");
}

static void test_derived(void **state)
{
    struct site *site = *state;
    AUTO(texts_free_auto) struct texts *texts = texts_new(site->store, 1 << 20);
    AUTO_ARENA(arena);
    AUTO_SBUF(out, 1 << 20);
    struct text_key key = key_of(TEXT_SCHEMA, "T", 0);
    struct slice one = texts_name('T', &key, 1, &arena), two = texts_name('T', &key, 2, &arena);
    struct slice func = texts_name('F', &key, 1, &arena);

    texts_keep(texts, one, SLICE("made of 1"));
    assert_false(texts_find(texts, two, &out));
    assert_false(texts_find(texts, func, &out));
    assert_true(texts_find(texts, one, &out));
    assert_string_equal(out.p, "made of 1");
    expect(texts, &key, false, -ERR_AGAIN, "");
    sbuf_reset(&out);
    texts_status(texts, &out);
    assert_non_null(strstr(out.p, ",\"texts\":{\"bytes\":"));
    assert_non_null(strstr(out.p, "\"hits\":1,\"misses\":3}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escaped_and_kept), cmocka_unit_test(test_records_do_not_mix),
        cmocka_unit_test(test_missing),          cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_derived),
    };

    return cmocka_run_group_tests(tests, open_site, close_site);
}
