#include "test/unit/test_tws_registry.h"

#include "shared/base/json.h"
#include "tws/app.h"
#include "tws/methods.h"

/* The methods as the dispatcher calls them, on a registry in memory; no service, so nothing that asks another
 * server. */

struct site {
    struct fixture f;
    struct tws tws;
};

/* params: JSON of the one parameter. want: JSON of the value, or `!` and the error's text; `$digit` as in
 * struct step. */
struct method_step {
    const char *user, *method, *params, *want;
};

static void open_site(struct site *site)
{
    memset(site, 0, sizeof(*site));
    fixture_open(&site->f);
    site->tws.store = site->f.store;
    site->tws.registry = site->f.reg;
    site->tws.texts = texts_new(site->f.store, 1 << 20);
}

static void close_site(struct site *site)
{
    texts_free(site->tws.texts);
    fixture_close(&site->f);
}

static const struct method *find_method(const char *name)
{
    AUTO_SBUF(full, 1000);

    sbuf_addf(&full, "Workspace.%s", name);
    for (size_t i = 0; i < tws_methods.count; i++)
        if (slice_is(sbuf_slice(&full), tws_methods.rows[i].name))
            return &tws_methods.rows[i];
    fail_msg("no method %s", name);
    return NULL;
}

static int run_call(struct site *site, const struct method_step *step, struct slice body, bool may_block,
                    struct sbuf *out, struct err *err)
{
    struct call call = { .app = &site->tws, .method = find_method(step->method), .user = step->user };
    const struct json_limits limits = { 100, 10000 };
    struct json_val *params;

    call.body = body;
    call.may_block = may_block;
    call.role = step->user && strcmp(step->user, "root") == 0 ? ADMIN_FULL : ADMIN_READ;
    if (step->user && strcmp(step->user, "eve") == 0)
        call.role = ADMIN_NONE;
    call.notes = (struct sbuf)SBUF_INIT(1000);
    assert_int_equal(json_read(body, &limits, &call.arena, &params, NULL, NULL), 0);
    call.env = (struct envelope){ .has_params = true, .params = params, .body = body };
    int rc = params_convert(&call.env, call.method, &call.arena, &call.params, err);
    if (rc == 0)
        rc = call.method->run(&call, out, err);
    sbuf_release(&call.notes);
    arena_release(&call.arena);
    return rc;
}

static void run_step(struct site *site, size_t i, const struct method_step *step)
{
    AUTO_SBUF(have, SBUF_NO_LIMIT);
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    AUTO_ERR(err);

    sbuf_addc(&body, '[');
    expand(&site->f, step->params, &body);
    sbuf_addc(&body, ']');
    int rc = run_call(site, step, sbuf_slice(&body), false, &have, &err);
    if (rc == -ERR_AGAIN) {
        assert_int_equal(err.code, ERR_NONE);
        sbuf_reset(&have);
        rc = run_call(site, step, sbuf_slice(&body), true, &have, &err);
    }
    if (rc < 0) {
        assert_int_equal(rc, -(int)err.code);
        sbuf_reset(&have);
        sbuf_addc(&have, '!');
        sbuf_add(&have, err.text, err.len);
    }
    expand(&site->f, step->want, &want);
    if (!slice_eq(sbuf_slice(&have), sbuf_slice(&want)))
        fail_msg("step %zu %s\nhave: %s\nwant: %s", i, step->method, sbuf_slice(&have).p,
                 sbuf_slice(&want).p);
}

static void run_method_steps(struct site *site, const struct method_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        run_step(site, i, &steps[i]);
}

static void save(struct site *site, const char *module, char digit)
{
    const struct catalogue *cat = registry_snapshot(site->f.reg);

    site->f.saved[digit - '0'] = cat_find_module(cat, slice_str(module))->last;
    catalogue_unref(cat);
}

static void test_table(void **state UNUSED)
{
    assert_true(method_table_valid(&tws_methods));
    assert_int_equal(tws_methods.count, 22);
}

static void test_nothing_there(void **state UNUSED)
{
    static const struct method_step steps[] = {
        { NULL, "list_modules", "{}", "[]" },
        { NULL, "list_all_types", "{}", "{}" },
        { NULL, "list_modules", "null", "!Must provide a parameter object" },
        { NULL, "list_all_types", "null", "!Must provide a parameter object" },
        { NULL, "get_module_info", "null", "!Must provide a parameter object" },
        { NULL, "list_module_versions", "null", "!Must provide a parameter object" },
        { "ann", "register_typespec", "null", "!Must provide a parameter object" },
        { "ann", "grant_module_ownership", "null", "!Must provide a parameter object" },
        { "ann", "remove_module_ownership", "null", "!Must provide a parameter object" },
        { "ann", "register_typespec_copy", "null", "!Must provide a parameter object" },
        { NULL, "translate_to_MD5_types", "null", "!Must provide a list of types" },
        { NULL, "translate_from_MD5_types", "null", "!Must provide a list of types" },
        { NULL, "translate_to_MD5_types", "[]", "{}" },
        { NULL, "get_all_type_info", "null", "!Must provide a module name" },
        { NULL, "get_all_func_info", "null", "!Must provide a module name" },
        { NULL, "get_module_info", "{}", "!Must provide a module name" },
        { NULL, "get_module_info", "{\"mod\":\"M\",\"zz\":1}",
          "!Unexpected arguments in GetModuleInfoParams: zz" },
        { NULL, "get_module_info", "{\"mod\":\"M\"}", "!Module doesn't exist: M" },
        { NULL, "get_type_info", "null", "!Typestring cannot be null or the empty string" },
        { NULL, "get_type_info", "\"M.T\"", "!Module doesn't exist: M" },
        { NULL, "get_jsonschema", "\"M\"", "!Type M could not be split into a module and name" },
        { NULL, "get_func_info", "\"M.f\"", "!Module doesn't exist: M" },
        { NULL, "list_module_versions", "{}", "!Must provide either a module name or a type" },
        { NULL, "list_module_versions", "{\"mod\":\"M\",\"type\":\"M.T\"}",
          "!Must provide either a module name or a type" },
        { NULL, "list_modules", "{\"owner\":\"\"}", "!Username cannot be null or the empty string" },
        { NULL, "list_modules", "{\"owner\":\"a b\"}", "!Illegal character in user name a b:  " },
        { NULL, "translate_from_MD5_types", "[null]", "!Typestring cannot be null or the empty string" },
        { NULL, "translate_from_MD5_types", "[\"M.T-01.0\"]", "!MD5 part is not defined for type M.T-1.0" },
        { "ann", "register_typespec", "{}", "!Must provide either a spec or module name" },
        { "ann", "register_typespec", "{\"spec\":\"\",\"mod\":\"\"}",
          "!Must provide either a spec or module name" },
        { "ann", "register_typespec", "{\"a\":1}", "!Unexpected arguments in RegisterTypespecParams: a" },
        { "ann", "release_module", "null", "!User ann is not in list of owners of module null" },
        { "ann", "register_typespec_copy", "{}", "!Must provide a URL for an external workspace service" },
        { "ann", "register_typespec_copy", "{\"external_workspace_url\":\"x\"}",
          "!Must provide a module name" },
        { "ann", "register_typespec_copy", "{\"external_workspace_url\":\"x\",\"mod\":\"M\"}",
          "!no protocol: x" },
        { "ann", "register_typespec_copy", "{\"external_workspace_url\":\"https://x\",\"mod\":\"M\"}",
          "!Module doesn't exist: M" },
    };
    struct site site;

    open_site(&site);
    run_method_steps(&site, steps, ARRAY_LEN(steps));
    close_site(&site);
}

static void test_administer(void **state UNUSED)
{
    static const struct method_step steps[] = {
        { "eve", "administer", "5", "!User eve is not an admin" },
        { "reader", "administer", "{}", "!I don't know how to process the command: null" },
        { "reader", "administer",
          "{\"command\":\"getTypeDelegationTarget\",\"module\":null,\"user\":null,\"params\":null}",
          "{\"delegateTarget\":null}" },
        { "reader", "administer", "{\"command\":\"approveModRequest\"}",
          "!Full administration rights required for this command" },
        { "reader", "administer", "{\"command\":\"grantModuleOwnership\"}",
          "!Full administration rights required for this command" },
        { "root", "administer", "{\"command\":\"grantModuleOwnership\"}",
          "!Method parameters GrantModuleOwnershipParams may not be null" },
        { "root", "administer", "{\"command\":\"removeModuleOwnership\",\"params\":{\"x\":1}}",
          "!Unexpected arguments in RemoveModuleOwnershipParams: x" },
        { "root", "administer", "{\"command\":\"approveModRequest\"}",
          "!There is no request for module null" },
        { "ann", "request_module_ownership", "\"Zoo\"", "" },
        { "ann", "request_module_ownership", "\"Ant\"", "" },
        { "bob", "request_module_ownership", "\"Bee\"", "" },
        { "reader", "administer", "{\"command\":\"listModRequests\"}",
          "[{\"ownerUserId\":\"ann\",\"withChangeOwnersPrivilege\":true,\"moduleName\":\"Zoo\"},"
          "{\"ownerUserId\":\"ann\",\"withChangeOwnersPrivilege\":true,\"moduleName\":\"Ant\"},"
          "{\"ownerUserId\":\"bob\",\"withChangeOwnersPrivilege\":true,\"moduleName\":\"Bee\"}]" },
        { "root", "administer", "{\"command\":\"denyModRequest\",\"module\":\"Bee\"}", "" },
        { "root", "administer", "{\"command\":\"approveModRequest\",\"module\":\"Zoo\"}", "" },
        { "root", "administer", "{\"command\":\"approveModRequest\",\"module\":\"Ant\"}", "" },
        { "root", "administer", "{\"command\":\"listModRequests\"}", "[]" },
        { NULL, "list_modules", "{}", "[\"Ant\",\"Zoo\"]" },
        { "root", "administer",
          "{\"command\":\"grantModuleOwnership\",\"params\":{\"mod\":\"Zoo\",\"new_owner\":\"bob\",\"with_"
          "grant_option\":1}}",
          "" },
        { NULL, "list_modules", "{\"owner\":\"bob\"}", "[\"Zoo\"]" },
        { "bob", "remove_module_ownership", "{\"mod\":\"Zoo\",\"old_owner\":\"ann\"}", "" },
        { NULL, "list_modules", "{\"owner\":\"ann\"}", "[\"Ant\"]" },
        { "ann", "release_module", "\"Ant\"", "!Module wasn't uploaded: Ant" },
        { NULL, "list_all_types", "{\"with_empty_modules\":1}", "{\"Ant\":{},\"Zoo\":{}}" },
        { "ann", "list_module_versions", "{\"mod\":\"Ant\"}", "{\"mod\":\"Ant\",\"vers\":[]}" },
    };
    struct site site;

    open_site(&site);
    run_method_steps(&site, steps, ARRAY_LEN(steps));
    close_site(&site);
}

#define MAKE_MODULE(user, name) \
    { (user), "request_module_ownership", "\"" name "\"", "" }, \
    { \
        "root", "administer", "{\"command\":\"approveModRequest\",\"module\":\"" name "\"}", "" \
    }

#define SCHEMA_B \
    "\"{\\n  \\\"id\\\" : \\\"B\\\",\\n  \\\"description\\\" : \\\"base\\\",\\n  \\\"type\\\" : " \
    "\\\"object\\\",\\n" \
    "  \\\"original-type\\\" : \\\"kidl-structure\\\",\\n  \\\"properties\\\" : {\\n    \\\"n\\\" : {\\n" \
    "      \\\"type\\\" : \\\"integer\\\",\\n      \\\"original-type\\\" : \\\"kidl-int\\\"\\n    }\\n  " \
    "},\\n" \
    "  \\\"additionalProperties\\\" : true,\\n  \\\"required\\\" : [ \\\"n\\\" ]\\n}\""

#define TREE_B \
    "\"{\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::Typedef\\\",\\\"alias_type\\\":{\\\"!\\\":\\\"Bio::KBase::" \
    "KIDL::KBT::Struct\\\"," \
    "\\\"annotations\\\":{},\\\"items\\\":[{\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::StructItem\\\",\\\"item_" \
    "type\\\":{" \
    "\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::Scalar\\\",\\\"annotations\\\":{},\\\"scalar_type\\\":" \
    "\\\"int\\\"}," \
    "\\\"name\\\":\\\"n\\\",\\\"nullable\\\":\\\"0\\\"}],\\\"name\\\":\\\"B\\\"},\\\"annotations\\\":{" \
    "\\\"metadata\\\":{" \
    "\\\"ws\\\":{}},\\\"searchable_ws_subset\\\":{\\\"fields\\\":{},\\\"keys\\\":{}},\\\"unknown_" \
    "annotations\\\":{}}," \
    "\\\"comment\\\":\\\"base\\\",\\\"module\\\":\\\"Base\\\",\\\"name\\\":\\\"B\\\"}\""

#define BASE_SPEC \
    "module Base {\\n/* base */ typedef structure { int n; } B;\\n/* f */ funcdef f(B b) returns " \
    "();\\n};\\n"
#define TOP_SPEC \
    "#include <Base.types>\\nmodule Top {\\ntypedef list<Base.B> helper;\\ntypedef structure { helper h; } " \
    "T;\\n};\\n"

#define INFO_B(versions, released, all, all_released, funcs, types) \
    "{\"type_def\":\"Base.B-1.0\",\"description\":\"base\",\"spec_def\":\"/*\\nbase\\n*/\\ntypedef " \
    "structure {\\n  int n;\\n} B;\"," \
    "\"json_schema\":" SCHEMA_B ",\"parsing_structure\":" TREE_B ",\"module_vers\":" versions \
    ",\"released_module_vers\":" released ",\"type_vers\":" all ",\"released_type_vers\":" all_released \
    ",\"using_func_defs\":" funcs ",\"using_type_defs\":" types ",\"used_type_defs\":[]}"

static const struct method_step base_steps[] = {
    MAKE_MODULE("ann", "Base"),
    MAKE_MODULE("bob", "Top"),
    { "ann", "register_typespec", "{\"spec\":\"" BASE_SPEC "\",\"new_types\":[\"B\",null],\"dryrun\":0}",
      "!Type is in adding type list but is not defined in spec-file: null" },
    { "ann", "register_typespec", "{\"spec\":\"" BASE_SPEC "\",\"new_types\":[\"B\"]}",
      "{\"Base.B-0.1\":" SCHEMA_B "}" },
    { "ann", "get_type_info", "\"Base.B\"", "!Unable to locate type: Base.B" },
    { "ann", "register_typespec", "{\"spec\":\"" BASE_SPEC "\",\"new_types\":[\"B\"],\"dryrun\":0}",
      "{\"Base.B-0.1\":" SCHEMA_B "}" },
    { NULL, "get_type_info", "\"Base.B\"",
      "!This type wasn't released yet and you should be an owner to access unreleased version information" },
    { NULL, "get_jsonschema", "\"Base.B-0.1\"", SCHEMA_B },
    { NULL, "list_module_versions", "{\"mod\":\"Base\"}", "{\"mod\":\"Base\",\"vers\":[]}" },
};

static const struct method_step released_steps[] = {
    { "ann", "release_module", "\"Base\"", "[\"Base.B-1.0\"]" },
};

static const struct method_step top_steps[] = {
    { "bob", "register_typespec", "{\"spec\":\"" TOP_SPEC "\",\"new_types\":[\"T\"],\"dryrun\":5}",
      "{\"Top.T-0.1\":\"{\\n  \\\"id\\\" : \\\"T\\\",\\n  \\\"description\\\" : \\\"\\\",\\n  \\\"type\\\" : "
      "\\\"object\\\",\\n"
      "  \\\"original-type\\\" : \\\"kidl-structure\\\",\\n  \\\"properties\\\" : {\\n    \\\"h\\\" : {\\n"
      "      \\\"type\\\" : \\\"array\\\",\\n      \\\"original-type\\\" : \\\"kidl-list\\\",\\n      "
      "\\\"items\\\" : {\\n"
      "        \\\"type\\\" : \\\"object\\\",\\n        \\\"original-type\\\" : \\\"kidl-structure\\\",\\n"
      "        \\\"properties\\\" : {\\n          \\\"n\\\" : {\\n            \\\"type\\\" : "
      "\\\"integer\\\",\\n"
      "            \\\"original-type\\\" : \\\"kidl-int\\\"\\n          }\\n        },\\n"
      "        \\\"additionalProperties\\\" : true,\\n        \\\"required\\\" : [ \\\"n\\\" ]\\n      }\\n  "
      "  }\\n  },\\n"
      "  \\\"additionalProperties\\\" : true,\\n  \\\"required\\\" : [ \\\"h\\\" ]\\n}\"}" },
};

static const struct method_step after_steps[] = {
    /* $1 the registered, $2 the released version of Base, $3 the unreleased one of Top */
    { NULL, "get_type_info", "\"Base.B\"",
      INFO_B("[$2]", "[$2]", "[\"Base.B-1.0\"]", "[\"Base.B-1.0\"]", "[\"Base.f-1.0\"]", "[]") },
    { "bob", "get_type_info", "\"Base.B-1\"",
      INFO_B("[$2]", "[$2]", "[\"Base.B-1.0\"]", "[\"Base.B-1.0\"]", "[\"Base.f-1.0\"]", "[\"Top.T-0.1\"]") },
    { "ann", "get_type_info", "\"Base.B-1.0\"",
      INFO_B("[$2]", "[$2]", "[\"Base.B-0.1\",\"Base.B-1.0\"]", "[\"Base.B-1.0\"]",
             "[\"Base.f-0.1\",\"Base.f-1.0\"]", "[]") },
    { NULL, "get_all_type_info", "\"Base\"",
      "[" INFO_B("[$2]", "[$2]", "[\"Base.B-1.0\"]", "[\"Base.B-1.0\"]", "[\"Base.f-1.0\"]", "[]") "]" },
    { NULL, "get_all_type_info", "\"Top\"", "!Module wasn't uploaded: Top" },
    { NULL, "list_all_types", "{}", "{\"Base\":{\"B\":\"1.0\"}}" },
    { NULL, "list_module_versions", "{\"type\":\"Base.B\"}", "{\"mod\":\"Base\",\"vers\":[$2]}" },
    { NULL, "list_module_versions", "{\"type\":\"Base.B-0.1\"}", "{\"mod\":\"Base\",\"vers\":[$1]}" },
    { "ann", "list_module_versions", "{\"mod\":\"Base\"}", "{\"mod\":\"Base\",\"vers\":[$1,$2]}" },
    { NULL, "get_func_info", "\"Base.f\"",
      "{\"func_def\":\"Base.f-1.0\",\"description\":\"f\",\"spec_def\":\"/*\\nf\\n*/\\nfuncdef "
      "f(#Base.B-1.0# b) returns () "
      "authentication "
      "none;\",\"parsing_structure\":\"{\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::Funcdef\\\",\\\"annotations\\\":"
      "{"
      "\\\"unknown_annotations\\\":{}},\\\"async\\\":\\\"0\\\",\\\"authentication\\\":\\\"none\\\","
      "\\\"comment\\\":\\\"f\\\","
      "\\\"name\\\":\\\"f\\\",\\\"parameters\\\":[{\\\"name\\\":\\\"b\\\",\\\"type\\\":{\\\"!\\\":"
      "\\\"Bio::KBase::KIDL::KBT::Typedef\\\",\\\"alias_type\\\":{\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::"
      "Struct\\\","
      "\\\"annotations\\\":{},\\\"items\\\":[{\\\"!\\\":\\\"Bio::KBase::KIDL::KBT::StructItem\\\",\\\"item_"
      "type\\\":{\\\"!\\\":"
      "\\\"Bio::KBase::KIDL::KBT::Scalar\\\",\\\"annotations\\\":{},\\\"scalar_type\\\":\\\"int\\\"},"
      "\\\"name\\\":\\\"n\\\","
      "\\\"nullable\\\":\\\"0\\\"}],\\\"name\\\":\\\"B\\\"},\\\"annotations\\\":{\\\"metadata\\\":{"
      "\\\"ws\\\":{}},"
      "\\\"searchable_ws_subset\\\":{\\\"fields\\\":{},\\\"keys\\\":{}},\\\"unknown_annotations\\\":{}},"
      "\\\"comment\\\":"
      "\\\"base\\\",\\\"module\\\":\\\"Base\\\",\\\"name\\\":\\\"B\\\"}}],\\\"return_type\\\":[]}\",\"module_"
      "vers\":[$2],"
      "\"released_module_vers\":[$2],\"func_vers\":[\"Base.f-1.0\"],\"released_func_vers\":[\"Base.f-1.0\"],"
      "\"used_type_defs\":[\"Base.B-1.0\"]}" },
    { NULL, "get_func_info", "\"Base.f-1\"", "!Wrong version number format, use <major>.<minor>" },
    { NULL, "get_type_info", "\"Top.T-1.0\"", "!Unable to locate type: Top.T-1.0" },
    { "bob", "get_module_info", "{\"mod\":\"Base\",\"ver\":$1}",
      "{\"owners\":[\"ann\"],\"ver\":$1,\"spec\":\"" BASE_SPEC
      "\",\"description\":\"\",\"types\":{\"Base.B-0.1\":" SCHEMA_B
      "},\"included_spec_version\":{},\"chsum\":\"MD5\",\"functions\":[\"Base.f-0.1\"],\"is_released\":0}" },
};

/* Of an include its version when Top was compiled counts, whatever came later. */
static const struct method_step link_steps[] = {
    { "ann", "register_typespec",
      "{\"spec\":\"module Base { /* new */ typedef structure { int n; } B; };\",\"dryrun\":0}",
      "{\"Base.B-1.1\":\"{\\n  \\\"id\\\" : \\\"B\\\",\\n  \\\"description\\\" : \\\"new\\\",\\n  "
      "\\\"type\\\" : \\\"object\\\",\\n"
      "  \\\"original-type\\\" : \\\"kidl-structure\\\",\\n  \\\"properties\\\" : {\\n    \\\"n\\\" : {\\n"
      "      \\\"type\\\" : \\\"integer\\\",\\n      \\\"original-type\\\" : \\\"kidl-int\\\"\\n    }\\n  "
      "},\\n"
      "  \\\"additionalProperties\\\" : true,\\n  \\\"required\\\" : [ \\\"n\\\" ]\\n}\"}" },
    { "ann", "release_module", "\"Base\"", "[\"Base.B-1.1\"]" },
    { NULL, "get_all_func_info", "\"Base\"", NULL },
    { "bob", "get_type_info", "\"Top.T\"", NULL },
};

static void run_and_find(struct site *site, const struct method_step *step, const char *part)
{
    AUTO_SBUF(have, SBUF_NO_LIMIT);
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    AUTO_ERR(err);

    sbuf_addf(&body, "[%s]", step->params);
    assert_int_equal(run_call(site, step, sbuf_slice(&body), true, &have, &err), 0);
    if (!strstr(have.p, part))
        fail_msg("%s: %s\nlacks %s", step->method, have.p, part);
}

/* The checksum is the compiler's business; here it only has to be there. */
static void run_after_steps(struct site *site)
{
    const struct method_step *last = &after_steps[ARRAY_LEN(after_steps) - 1];

    run_method_steps(site, after_steps, ARRAY_LEN(after_steps) - 1);
    const char *cut = strstr(last->want, "\"chsum\"");
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(params, SBUF_NO_LIMIT);
    sbuf_add(&text, last->want, (size_t)(cut - last->want));
    expand(&site->f, text.p, &want);
    expand(&site->f, last->params, &params);
    struct method_step step = { last->user, last->method, params.p, NULL };
    run_and_find(site, &step, want.p);
    run_and_find(site, &step, "\",\"functions\":[\"Base.f-0.1\"],\"is_released\":0}");
}

static void test_types(void **state UNUSED)
{
    struct site site;

    open_site(&site);
    run_method_steps(&site, base_steps, ARRAY_LEN(base_steps));
    save(&site, "Base", '1');
    run_method_steps(&site, released_steps, ARRAY_LEN(released_steps));
    save(&site, "Base", '2');
    run_method_steps(&site, top_steps, ARRAY_LEN(top_steps));
    struct method_step real = top_steps[0];
    real.params = "{\"spec\":\"" TOP_SPEC "\",\"new_types\":[\"T\"],\"dryrun\":0}";
    run_step(&site, 0, &real);
    save(&site, "Top", '3');
    run_after_steps(&site);
    run_method_steps(&site, link_steps, 2);
    run_and_find(&site, &link_steps[2], "[{\"func_def\":\"Base.f-1.0\"");
    run_and_find(
        &site, &link_steps[3],
        "\"spec_def\":\"typedef list<#Base.B-1.0#> helper;\\n\\ntypedef structure {\\n  helper h;\\n} T;\"");
    run_and_find(&site, &link_steps[3], "\"used_type_defs\":[\"Base.B-1.0\"]}");
    close_site(&site);
}

static void test_md5(void **state UNUSED)
{
    struct site site;
    AUTO_SBUF(forth, SBUF_NO_LIMIT);
    AUTO_SBUF(back, SBUF_NO_LIMIT);
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    AUTO_ERR(err);
    const struct method_step to = { "ann", "translate_to_MD5_types", NULL, NULL };
    const struct method_step from = { NULL, "translate_from_MD5_types", NULL, NULL };

    open_site(&site);
    run_method_steps(&site, base_steps, ARRAY_LEN(base_steps));
    run_method_steps(&site, released_steps, ARRAY_LEN(released_steps));
    assert_int_equal(
        run_call(&site, &to, SLICE("[[\"Base.B-1\",\"Base.B\",\"Base.B-1\"]]"), true, &forth, &err), 0);
    /* {"Base.B-1":"Base.B-<md5>","Base.B":"Base.B-<md5>"} */
    assert_int_equal(forth.len, strlen("{\"Base.B-1\":\"Base.B-\",\"Base.B\":\"Base.B-\"}") + 64);
    const char *md5 = strstr(forth.p, "\":\"Base.B-") + strlen("\":\"Base.B-");
    sbuf_addf(&body, "[[\"Base.B-%.32s\"]]", md5);
    assert_int_equal(run_call(&site, &from, sbuf_slice(&body), true, &back, &err), 0);
    assert_non_null(strstr(back.p, "\":[\"Base.B-0.1\",\"Base.B-1.0\"]}"));
    close_site(&site);
}

static void test_lost_lease(void **state UNUSED)
{
    static const char lost[] =
        "!This process has lost the lease of the type database, so it must not change it";
    static const struct method_step steps[] = {
        { "ann", "request_module_ownership", "\"New\"", lost },
        { "ann", "release_module", "\"Base\"", lost },
        { "ann", "register_typespec", "{\"spec\":\"module Base {};\",\"dryrun\":0}", lost },
        { "root", "administer", "{\"command\":\"denyModRequest\",\"module\":\"New\"}", lost },
        { NULL, "list_modules", "{}", "[]" },
    };
    struct site site;

    open_site(&site);
    atomic_store(&site.tws.state, TWS_LOST);
    run_method_steps(&site, steps, ARRAY_LEN(steps));
    close_site(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_administer),
        cmocka_unit_test(test_types), cmocka_unit_test(test_md5),           cmocka_unit_test(test_lost_lease),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
