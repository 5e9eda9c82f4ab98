#include "test/unit/t.h"
#include <unistd.h>

#include "shared/base/config.h"
#include "shared/base/options.h"
#include "shared/base/url.h"

#define TWS "type-database-file = /db\nauth-tokens-file = /tokens\n"
#define DWS "type-delegation-target = http://tws:7058/x\nauth-tokens-file = /tokens\n"

static struct config *parse(const char *pairs, struct sbuf *problems)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_addf(&text, "[Workspace]\n%s", pairs);
    return config_parse(sbuf_slice(&text), "/etc/deploy.cfg", problems);
}

static struct config *good(const char *pairs)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    struct config *config = parse(pairs, &problems);

    if (!config)
        fail_msg("refused: %s", problems.p);
    assert_int_equal(problems.len, 0);
    return config;
}

static void test_defaults(void **state UNUSED)
{
    AUTO(config_free_auto) struct config *config = good(TWS);

    assert_int_equal(config->role, CONFIG_TWS);
    assert_int_equal(config->port, 7058);
    assert_string_equal(config->listen_address, "0.0.0.0");
    assert_string_equal(config->type_database_file, "/db");
    assert_null(config->type_delegation_target);
    assert_null(config->mongodb_host);
    assert_int_equal(config->delegation_connect_timeout, 5000000);
    assert_int_equal(config->max_spec_size, 1 << 20);
    assert_int_equal(config->delegation_max_answer, (int64_t)1 << 30);
    assert_int_equal(config->max_body_size, 1005000000);
    assert_int_equal(config->log_level, LOG_CHOICE_INFO);
    assert_false(config->start_degraded);
    assert_int_equal(config->auth2_ws_admin_full_roles.count, 0);
    assert_int_equal(config->unused.count, 0);
    assert_string_equal(config->path, "/etc/deploy.cfg");
}

static void test_values(void **state UNUSED)
{
    AUTO(config_free_auto)
    struct config *config = good(
        DWS "port = 1\nport : 0\nauth-timeout = 0.25\nauth-cache-time = 1.5\nmax-body-size = 2k\n"
            "body-memory = 3M\nlog-level = debug\nstart-degraded = true\ndont_trust_x_ip_headers = true\n"
            "auth2-ws-admin-full-roles = , A , ,B,\ntext-cache-size =\nmode = auto\n");

    assert_int_equal(config->role, CONFIG_DWS);
    assert_string_equal(config->type_delegation_target, "http://tws:7058/x");
    assert_int_equal(config->port, 0);
    assert_int_equal(config->auth_timeout, 250000);
    assert_int_equal(config->auth_cache_time, 1500000);
    assert_int_equal(config->max_body_size, 2048);
    assert_int_equal(config->body_memory, 3 << 20);
    assert_int_equal(config->log_level, LOG_CHOICE_DEBUG);
    assert_true(config->start_degraded);
    assert_true(config->dont_trust_x_ip_headers2);
    assert_false(config->dont_trust_x_ip_headers);
    assert_int_equal(config->auth2_ws_admin_full_roles.count, 2);
    assert_string_equal(config->auth2_ws_admin_full_roles.items[0], "A");
    assert_string_equal(config->auth2_ws_admin_full_roles.items[1], "B");
    assert_int_equal(config->text_cache_size, 64 << 20);
}

/* Each gives exactly this one line. */
static const struct {
    const char *pairs, *problem;
} refused[] = {
    { TWS "mongdb-host = x\n", "unknown key 'mongdb-host' (did you mean 'mongodb-host'?)" },
    { TWS "prot = 80\n", "unknown key 'prot' (did you mean 'port'?)" },
    { TWS "Port = 80\n", "unknown key 'Port' (did you mean 'port'?)" },
    { TWS "backend-typ = x\n", "unknown key 'backend-typ' (did you mean 'backend-type'?)" },
    { TWS "zzzzzz = 1\n", "unknown key 'zzzzzz' (`wstyped config --explain` lists all keys)" },
    { TWS "zz\\nzzzz = 1\n", "unknown key 'zz\\x0azzzz' (`wstyped config --explain` lists all keys)" },
    { TWS "port = eighty\n", "the value of port is 'eighty', but must be: number from 0 to 65535" },
    { TWS "port = 70000\n", "the value of port is '70000', but must be: number from 0 to 65535" },
    { TWS "port = -1\n", "the value of port is '-1', but must be: number from 0 to 65535" },
    { TWS "port = 1.0\n", "the value of port is '1.0', but must be: number from 0 to 65535" },
    { TWS "text-cache-size = 12 apples\n", "the value of text-cache-size is '12 apples', but must be: bytes "
                                           "(k, M, G allowed) from 0 to 1000000000000" },
    { TWS "max-spec-size = 1\n",
      "the value of max-spec-size is '1', but must be: bytes (k, M, G allowed) from 1k to 1000000000" },
    { TWS "auth-timeout = 0\n", "the value of auth-timeout is '0', but must be: seconds from 0.1 to 600" },
    { TWS "auth-timeout = 1..2\n",
      "the value of auth-timeout is '1..2', but must be: seconds from 0.1 to 600" },
    { TWS "auth-timeout = .\n", "the value of auth-timeout is '.', but must be: seconds from 0.1 to 600" },
    { TWS "mongodb-retrywrites = True\n",
      "the value of mongodb-retrywrites is 'True', but must be: true or false" },
    { TWS "log-level = loud\n", "the value of log-level is 'loud', but must be: one of info, error, debug" },
    { TWS "mode = both\n", "the value of mode is 'both', but must be: one of auto, tws, dws" },
    { TWS "log-file = a\\x00b\n", "the value of log-file has a NUL byte in it" },
    { "auth-tokens-file = /t\n", "Must provide param type-database-file, mongodb-type-database or "
                                 "type-delegation-target in config file" },
    { TWS "type-delegation-target = http://user:pw@h/\n",
      "both a type database (type-database-file = /db) and a delegation target (type-delegation-target = "
      "http://h/) "
      "are given: remove one, or say with mode = tws or mode = dws which to use" },
    { DWS "mongodb-host = h\nmongodb-type-database = types\n",
      "both a type database (mongodb-type-database = types) and a delegation target (type-delegation-target "
      "= "
      "http://tws:7058/x) are given: remove one, or say with mode = tws or mode = dws which to use" },
    { "mode = dws\n" TWS, "mode = dws: must provide param type-delegation-target in config file" },
    { "mode = tws\n" DWS,
      "mode = tws: must provide param type-database-file or mongodb-type-database in config file" },
    { TWS "mongodb-host = h\nmongodb-type-database = types\n",
      "only one type database can be used: remove type-database-file = /db or mongodb-type-database = "
      "types" },
    { "auth-tokens-file = /t\nmongodb-type-database = types\n",
      "Must provide param mongodb-host in config file" },
    { "auth-tokens-file = /t\nmongodb-host = h\nmongodb-type-database = same\nmongodb-database = same\n",
      "The parameters mongodb-database and mongodb-type-database have the same value, same" },
    { TWS "mongodb-user = u\n",
      "Must provide both mongodb-user and mongodb-pwd params in config file if MongoDB "
      "authentication is to be used" },
    { TWS "mongodb-pwd = p\n",
      "Must provide both mongodb-user and mongodb-pwd params in config file if MongoDB "
      "authentication is to be used" },
    { "type-database-file = /db\n",
      "Must provide param auth2-service-url or auth-tokens-file in config file" },
    { TWS "auth2-service-url = http://u:p@auth/\n",
      "users come from one place: remove auth2-service-url = http://auth/ or auth-tokens-file = /tokens" },
    { "auth-tokens-file = /t\ntype-delegation-target = ftp://x/\n",
      "Invalid url for parameter type-delegation-target: ftp://x/ (it does not begin with http:// or "
      "https://)" },
    { "auth-tokens-file = /t\ntype-delegation-target = http:///\n",
      "Invalid url for parameter type-delegation-target: http:/// (it has no host)" },
    { TWS "ws-admin = bad name\n", "ws-admin: Illegal character in user name bad name:  " },
};

static void test_refused(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        AUTO_SBUF(problems, SBUF_NO_LIMIT);
        AUTO_SBUF(want, SBUF_NO_LIMIT);
        assert_null(parse(refused[i].pairs, &problems));
        sbuf_addf(&want, "%s\n", refused[i].problem);
        assert_string_equal(problems.p, want.p);
    }
}

static void test_accepted(void **state UNUSED)
{
    static const struct {
        const char *pairs;
        enum config_mode role;
    } cases[] = {
        { "mode = tws\ntype-delegation-target = http://h/\n" TWS, CONFIG_TWS },
        { "mode = dws\ntype-database-file = /db\nmongodb-type-database = x\n" DWS, CONFIG_DWS },
        { "type-delegation-target =\n" TWS, CONFIG_TWS },
        { "mongodb-host = h\nmongodb-type-database = types\nmongodb-database = ws\nauth2-service-url = "
          "https://a\n",
          CONFIG_TWS },
        { TWS "mongodb-user = u\nmongodb-pwd = p\n", CONFIG_TWS },
        { TWS "ws-admin = a_b-C1\n", CONFIG_TWS },
        { DWS "mongodb-database = ws\n", CONFIG_DWS },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(config_free_auto) struct config *config = good(cases[i].pairs);
        assert_int_equal(config->role, cases[i].role);
    }
}

static void test_everything_is_reported_at_once(void **state UNUSED)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    size_t lines = 0;

    assert_null(parse("port = x\nlisten-adress = ::1\nlisten-adress = ::2\ntype-delegation-target = nope\n",
                      &problems));
    for (size_t i = 0; i < problems.len; i++)
        lines += problems.p[i] == '\n';
    assert_int_equal(lines, 4);
    assert_non_null(strstr(problems.p, "'listen-adress' (did you mean 'listen-address'?)"));
    assert_non_null(strstr(problems.p, "Invalid url for parameter type-delegation-target: nope"));
    assert_non_null(strstr(problems.p, "auth2-service-url"));
}

/* Upstream's order: what the service needs, then users, then the account of the database. */
static void test_order_of_problems(void **state UNUSED)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);

    assert_null(parse("mongodb-user = u\nmongodb-type-database = x\nmongodb-database = x\n", &problems));
    assert_string_equal(problems.p,
                        "Must provide param mongodb-host in config file\n"
                        "The parameters mongodb-database and mongodb-type-database have the same value, x\n"
                        "Must provide param auth2-service-url or auth-tokens-file in config file\n"
                        "Must provide both mongodb-user and mongodb-pwd params in config file if MongoDB "
                        "authentication is to be used\n");
}

static void test_upstream_keys_are_named_once(void **state UNUSED)
{
    AUTO(config_free_auto)
    struct config *config =
        good(TWS "backend-type = GridFS\nlistener-1-class = x\nbackend-type = S3\nlistener-1-config-k = y\n");

    assert_int_equal(config->unused.count, 3);
    assert_string_equal(config->unused.items[0], "backend-type");
    assert_string_equal(config->unused.items[1], "listener-1-class");
    assert_string_equal(config->unused.items[2], "listener-1-config-k");
}

static void test_file_errors(void **state UNUSED)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    char path[] = "/tmp/wstyped-test-config-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unsetenv("KB_DEPLOYMENT_CONFIG");
    assert_null(config_load(NULL, &problems));
    assert_string_equal(problems.p,
                        "No configuration file location set in environment variable KB_DEPLOYMENT_CONFIG\n");
    sbuf_reset(&problems);
    assert_null(config_load("/nowhere/x.cfg", &problems));
    assert_string_equal(problems.p,
                        "Could not read from configuration file /nowhere/x.cfg: No such file or directory\n");
    sbuf_reset(&problems);
    assert_null(config_load("/", &problems));
    assert_string_equal(problems.p, "Could not read from configuration file /: Is a directory\n");
    sbuf_reset(&problems);
    assert_null(config_parse(SLICE("[workspace]\n"), "f", &problems));
    assert_string_equal(problems.p, "The configuration file f has no section Workspace\n");
    sbuf_reset(&problems);
    assert_null(config_parse(SLICE("[Workspace]\nmongodb-pwd secret\n"), "f", &problems));
    assert_string_equal(problems.p,
                        "Could not read from configuration file f: parse error (at line: 2): a line "
                        "without = or :\n");
    sbuf_reset(&problems);

    static const char content[] = "[Workspace]\n" TWS;
    assert_int_equal(write(fd, content, sizeof(content) - 1), sizeof(content) - 1);
    setenv("KB_DEPLOYMENT_CONFIG", path, 1);
    AUTO(config_free_auto) struct config *config = config_load(NULL, &problems);
    assert_non_null(config);
    assert_string_equal(config->path, path);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_null(config_load(path, &problems));
    assert_non_null(strstr(problems.p, "File too large"));
    close(fd);
    unlink(path);
}

static void test_report(void **state UNUSED)
{
    AUTO(config_free_auto)
    struct config *config =
        good("mode = dws\nlisteners = a.B\nmongodb-pwd = hunter2\nmongodb-user = u\nbackend-token = hunter3\n"
             "mongodb-host = h\nmongodb-type-database = types\nmongodb-database =  ws \nbackend-type = S3\n"
             "type-delegation-target = http://me:hunter4@tws/\nauth2-service-url = https://auth\n"
             "dont-trust-x-ip-headers = true\nport = 1\n");
    AUTO_SBUF(report, SBUF_NO_LIMIT);
    static const char begin[] =
        "mongodb-host=h\nmongodb-database=ws\ntype-delegation-target=http://tws/\nmongodb-user=u\n"
        "auth2-service-url=https://auth\ndont-trust-x-ip-headers=true\nbackend-type=S3\n"
        "mongodb-pwd=[redacted for your safety and comfort]\nlisteners=a.B\n"
        "mode=dws\nlisten-address=0.0.0.0\nport=1\n";

    config_report(config, &report);
    assert_memory_equal(report.p, begin, sizeof(begin) - 1);
    assert_non_null(strstr(report.p, "\nlog-level=info\n"));
    assert_null(strstr(report.p, "hunter"));
    assert_null(strstr(report.p, "type-database-file"));
}

static size_t lines_of(const struct sbuf *report, const char *key)
{
    AUTO(free_str_auto) char *begin = xasprintf("\n%s=", key);
    AUTO(free_str_auto) char *text = xasprintf("\n%s", report->p);
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, begin)); at++)
        n++;
    return n;
}

/* `config --check` promises every key that has a value, once, given or not. */
static void test_report_is_complete(void **state UNUSED)
{
    static const char *const roles[] = { TWS, DWS };
    static const char *const given[] = { "", "mongodb-retrywrites = true\ndont-trust-x-ip-headers = true\n" };

    for (size_t i = 0; i < ARRAY_LEN(roles) * ARRAY_LEN(given); i++) {
        const char *more = given[i % 2], *value = i % 2 ? "true" : "false";
        AUTO(free_str_auto) char *text = xasprintf("%s%s", roles[i / 2], more);
        AUTO(config_free_auto) struct config *config = good(text);
        AUTO_SBUF(report, SBUF_NO_LIMIT);
        config_report(config, &report);
        for (size_t k = 0; k < OPTION_COUNT; k++) {
            AUTO(free_str_auto) char *pair = xasprintf("%s = ", options[k].key);
            bool has_value = options[k].dflt[0] || strstr(text, pair);
            if (lines_of(&report, options[k].key) != has_value)
                fail_msg("%s is not there %d times: %s", options[k].key, has_value, report.p);
        }
        AUTO(free_str_auto) char *retry = xasprintf("mongodb-retrywrites=%s\n", value);
        AUTO(free_str_auto) char *trust = xasprintf("dont-trust-x-ip-headers=%s\n", value);
        assert_non_null(strstr(report.p, retry));
        assert_non_null(strstr(report.p, trust));
        /* upstream's report holds what is given and comes first */
        bool before = strstr(report.p, retry) < strstr(report.p, "mode=auto\n");
        assert_int_equal(before, i % 2);
    }
}

static void test_urls(void **state UNUSED)
{
    static const char *const fine[] = { "http://h", "HTTPS://h:1/", "http://[::1]:7058/p?q", "http://u:p@h/",
                                        "http://[::1]" };
    static const struct {
        const char *url, *why;
    } bad[] = {
        { "", "it does not begin with http:// or https://" },
        { "h:80", "it does not begin with http:// or https://" },
        { "file:///etc/x", "it does not begin with http:// or https://" },
        { "http://", "it has no host" },
        { "http://:80/", "it has no host" },
        { "http://u@/", "it has no host" },
        { "http://h:0/", "its port is not a number from 1 to 65535" },
        { "http://h:65536/", "its port is not a number from 1 to 65535" },
        { "http://h:x/", "its port is not a number from 1 to 65535" },
        { "http://[::1]x/", "its port is not a number from 1 to 65535" },
        { "http://[::1/", "its [address] is not complete" },
        { "http://h /", "it has blanks or control characters" },
    };
    const char *why = NULL;

    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        assert_true(url_ok(fine[i], &why));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(url_ok(bad[i].url, &why));
        assert_string_equal(why, bad[i].why);
    }
}

static void test_example_is_a_config(void **state UNUSED)
{
    AUTO_SBUF(example, SBUF_NO_LIMIT);
    AUTO_SBUF(explained, SBUF_NO_LIMIT);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(problems, SBUF_NO_LIMIT);

    config_example(&example);
    /* its lines that are options, uncommented, are what a default configuration has */
    for (const char *p = example.p; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (*p == '#' && p[1] != ' ')
            p++;
        sbuf_add(&text, p, strcspn(p, "\n"));
        sbuf_addc(&text, '\n');
    }
    sbuf_adds(&text, TWS);
    AUTO(config_free_auto) struct config *config = config_parse(sbuf_slice(&text), "example", &problems);
    if (!config)
        fail_msg("%s", problems.p);
    assert_int_equal(config->port, 7058);

    config_explain(&explained);
    assert_non_null(strstr(explained.p, "\ndelegation-max-hops\n    How many DWS"));
    sbuf_reset(&explained);
    assert_true(config_explain_key("port", &explained));
    assert_non_null(strstr(explained.p, "(number from 0 to 65535; default 7058; TWS and DWS)"));
    sbuf_reset(&explained);
    assert_true(config_explain_key("listener-2-class", &explained));
    sbuf_reset(&explained);
    assert_false(config_explain_key("prot", &explained));
    assert_string_equal(explained.p, "port");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_everything_is_reported_at_once),
        cmocka_unit_test(test_order_of_problems),
        cmocka_unit_test(test_upstream_keys_are_named_once),
        cmocka_unit_test(test_file_errors),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_report_is_complete),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_example_is_a_config),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
