#include "shared/base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/base/ini.h"
#include "shared/base/options.h"
#include "shared/base/typename.h"
#include "shared/base/url.h"

enum { MAX_FILE = 1 << 20 };

#define CONFIG_VARIABLE "KB_DEPLOYMENT_CONFIG"
#define CONFIG_SECTION "Workspace"

struct config_private {
    struct arena arena;
    struct slice raw[OPTION_COUNT]; /* text from the file, empty where not given */
    struct ini_section file;
};

/* ---- reading ---- */

static void problem(struct sbuf *problems, const char *fmt, ...) PRINTF(2, 3);

static void problem(struct sbuf *problems, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    sbuf_vaddf(problems, fmt, args);
    va_end(args);
    sbuf_addc(problems, '\n');
}

static struct config *config_new(const char *path)
{
    struct config *config = xcalloc(1, sizeof(*config));

    config->priv = xcalloc(1, sizeof(*config->priv));
    config->path = xstrdup(path);
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    arena_release(&config->priv->arena);
    free(config->priv);
    free(config->path);
    free(config);
}

static void set(struct config *config, const struct option *option, struct slice text, struct sbuf *problems)
{
    AUTO_ERR(err);

    if (memchr(text.p, '\0', text.n))
        problem(problems, "the value of %s has a NUL byte in it", option->key);
    else if (option_set(option, text, &config->priv->arena, config, &err) < 0)
        problem(problems, "%s", err_text(&err));
}

static void set_defaults(struct config *config, struct sbuf *problems)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *dflt = options[i].dflt;
        if (dflt[0] && options[i].kind != OPTION_CHOICE)
            set(config, &options[i], slice_str(dflt), problems);
    }
}

static void add_unknown(struct slice key, struct sbuf *problems)
{
    const char *nearest = option_nearest(key);

    sbuf_adds(problems, "unknown key '");
    option_put_shown(problems, key);
    if (nearest)
        problem(problems, "' (did you mean '%s'?)", nearest);
    else
        problem(problems, "' (`wstyped config --explain` lists all keys)");
}

static bool seen_before(const struct ini_section *file, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (slice_eq(file->pairs[i].key, file->pairs[at].key))
            return true;
    return false;
}

/* A key that is repeated has its last value; one that is not ours is named once. */
static void take_pairs(struct config *config, struct sbuf *problems)
{
    struct config_private *priv = config->priv;
    size_t strangers = 0;

    config->unused.items = arena_alloc(&priv->arena, (priv->file.count + 1) * sizeof(char *));
    for (size_t i = 0; i < priv->file.count; i++) {
        const struct ini_pair *pair = &priv->file.pairs[i];
        const struct option *option = option_find(pair->key);
        if (option) {
            priv->raw[option - options] = pair->value;
            continue;
        }
        /* telling repetitions apart is quadratic, which a hostile file must not use */
        if (++strangers > 1000 || seen_before(&priv->file, i))
            continue;
        if (option_is_upstream(pair->key))
            config->unused.items[config->unused.count++] =
                arena_memdup(&priv->arena, pair->key.p, pair->key.n);
        else
            add_unknown(pair->key, problems);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (priv->raw[i].n)
            set(config, &options[i], priv->raw[i], problems);
}

/* ---- what must fit together ---- */

static bool given(const struct config *config, int at)
{
    return config->priv->raw[at].n > 0;
}

#define GIVEN(config, field) given(config, OPTION_AT_##field)

/* ` key = value`, the value fit to be shown */
static void put_pair(const struct config *config, int at, struct sbuf *out)
{
    AUTO_SBUF(public, SBUF_NO_LIMIT);

    url_put_public(&public, config->priv->raw[at]);
    sbuf_addf(out, "%s = ", options[at].key);
    option_put_shown(out, sbuf_slice(&public));
}

static void check_both_roles(const struct config *config, struct sbuf *problems)
{
    int database =
        GIVEN(config, type_database_file) ? OPTION_AT_type_database_file : OPTION_AT_mongodb_type_database;

    sbuf_adds(problems, "both a type database (");
    put_pair(config, database, problems);
    sbuf_adds(problems, ") and a delegation target (");
    put_pair(config, OPTION_AT_type_delegation_target, problems);
    problem(problems, ") are given: remove one, or say with mode = tws or mode = dws which to use");
}

static void choose_role(struct config *config, struct sbuf *problems)
{
    bool database = GIVEN(config, type_database_file) || GIVEN(config, mongodb_type_database);
    bool target = GIVEN(config, type_delegation_target);

    config->role = config->mode != CONFIG_AUTO ? (enum config_mode)config->mode
                   : target                    ? CONFIG_DWS
                                               : CONFIG_TWS;
    if (config->mode == CONFIG_AUTO && database && target)
        check_both_roles(config, problems);
    else if (config->mode == CONFIG_AUTO && !database && !target)
        problem(problems,
                "Must provide param type-database-file, mongodb-type-database or type-delegation-target "
                "in config file");
    else if (config->mode == CONFIG_DWS && !target)
        problem(problems, "mode = dws: must provide param type-delegation-target in config file");
    else if (config->mode == CONFIG_TWS && !database)
        problem(problems,
                "mode = tws: must provide param type-database-file or mongodb-type-database in config file");
}

static void check_database(const struct config *config, struct sbuf *problems)
{
    const struct slice *raw = config->priv->raw;

    if (GIVEN(config, type_database_file) && GIVEN(config, mongodb_type_database)) {
        sbuf_adds(problems, "only one type database can be used: remove ");
        put_pair(config, OPTION_AT_type_database_file, problems);
        sbuf_adds(problems, " or ");
        put_pair(config, OPTION_AT_mongodb_type_database, problems);
        sbuf_addc(problems, '\n');
    }
    if (GIVEN(config, mongodb_type_database) && !GIVEN(config, mongodb_host))
        problem(problems, "Must provide param mongodb-host in config file");
    if (GIVEN(config, mongodb_type_database) &&
        slice_eq(raw[OPTION_AT_mongodb_database], raw[OPTION_AT_mongodb_type_database])) {
        sbuf_adds(problems,
                  "The parameters mongodb-database and mongodb-type-database have the same value, ");
        option_put_shown(problems, raw[OPTION_AT_mongodb_database]);
        sbuf_addc(problems, '\n');
    }
}

static void check_users(const struct config *config, struct sbuf *problems)
{
    AUTO_ERR(err);

    if (!GIVEN(config, auth2_service_url) && !GIVEN(config, auth_tokens_file))
        problem(problems, "Must provide param auth2-service-url or auth-tokens-file in config file");
    if (GIVEN(config, auth2_service_url) && GIVEN(config, auth_tokens_file)) {
        sbuf_adds(problems, "users come from one place: remove ");
        put_pair(config, OPTION_AT_auth2_service_url, problems);
        sbuf_adds(problems, " or ");
        put_pair(config, OPTION_AT_auth_tokens_file, problems);
        sbuf_addc(problems, '\n');
    }
    if (config->ws_admin && username_check(slice_str(config->ws_admin), false, &err) < 0)
        problem(problems, "ws-admin: %s", err_text(&err));
    if (GIVEN(config, mongodb_user) != GIVEN(config, mongodb_pwd))
        problem(problems, "Must provide both mongodb-user and mongodb-pwd params in config file if MongoDB "
                          "authentication is to be used");
}

struct config *config_parse(struct slice text, const char *path, struct sbuf *problems)
{
    AUTO_ERR(err);
    AUTO(config_free_auto) struct config *config = config_new(path);
    size_t before = problems->len;

    if (ini_read(text, CONFIG_SECTION, &config->priv->arena, &config->priv->file, &err) < 0) {
        problem(problems, "Could not read from configuration file %s: %s", path, err_text(&err));
        return NULL;
    }
    if (!config->priv->file.found) {
        problem(problems, "The configuration file %s has no section " CONFIG_SECTION, path);
        return NULL;
    }
    set_defaults(config, problems);
    take_pairs(config, problems);
    choose_role(config, problems);
    if (config->role == CONFIG_TWS)
        check_database(config, problems);
    check_users(config, problems);
    return problems->len > before || problems->failed ? NULL : TAKE(config);
}

static int read_file(const char *path, struct sbuf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return -errno;
    for (ssize_t n = 1; n != 0;) {
        char *to = sbuf_room(out, 65536);
        n = to ? read(fd, to, 65536) : -1;
        if (n > 0) {
            sbuf_added(out, (size_t)n);
        } else if (n < 0 && (!to || errno != EINTR)) {
            rc = to ? -errno : -EFBIG;
            break;
        }
    }
    close(fd);
    return out->len > MAX_FILE ? -EFBIG : rc;
}

struct config *config_load(const char *path, struct sbuf *problems)
{
    AUTO_SBUF(text, MAX_FILE + 65537);

    if (!path)
        path = getenv(CONFIG_VARIABLE);
    if (!path || !path[0]) {
        problem(problems, "No configuration file location set in environment variable " CONFIG_VARIABLE);
        return NULL;
    }
    int rc = read_file(path, &text);
    if (rc < 0) {
        problem(problems, "Could not read from configuration file %s: %s", path, strerror(-rc));
        return NULL;
    }
    return config_parse(sbuf_slice(&text), path, problems);
}

/* ---- report ---- */

/* Upstream's report: these keys in this order, those that are given. */
static const char *const upstream_report[] = {
    "mongodb-host",
    "mongodb-database",
    "mongodb-type-database",
    "type-delegation-target",
    "mongodb-retrywrites",
    "mongodb-user",
    "auth2-service-url",
    "dont-trust-x-ip-headers",
    "auth2-ws-admin-read-only-roles",
    "auth2-ws-admin-full-roles",
    "backend-type",
    "backend-url",
    "backend-user",
    "backend-region",
    "backend-container",
    "backend-trust-all-ssl-certificates",
    "handle-service-url",
    "bytestream-url",
    "bytestream-user",
    "sample-service-url",
    "mongodb-pwd",
    "listeners",
};

#define REDACTED "[redacted for your safety and comfort]"

static struct slice last_value(const struct config *config, struct slice key)
{
    const struct ini_section *file = &config->priv->file;

    for (size_t i = file->count; i-- > 0;)
        if (slice_eq(file->pairs[i].key, key))
            return file->pairs[i].value;
    return SLICE("");
}

static void report_pair(struct slice key, struct slice value, bool secret, struct sbuf *out)
{
    AUTO_SBUF(public, SBUF_NO_LIMIT);

    sbuf_add_slice(out, key);
    sbuf_addc(out, '=');
    if (secret) {
        sbuf_adds(out, REDACTED);
    } else {
        url_put_public(&public, value);
        option_put_shown(out, sbuf_slice(&public));
    }
    sbuf_addc(out, '\n');
}

static bool in_upstream_report(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(upstream_report); i++)
        if (strcmp(upstream_report[i], key) == 0)
            return true;
    return false;
}

static bool left_out(const struct config *config, const char *key)
{
    return config->role == CONFIG_DWS && strcmp(key, "mongodb-type-database") == 0;
}

void config_report(const struct config *config, struct sbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(upstream_report); i++) {
        struct slice key = slice_str(upstream_report[i]), value = last_value(config, key);
        const struct option *option = option_find(key);
        if (value.n && !left_out(config, upstream_report[i]))
            report_pair(key, value, option && (option->flags & OPTION_FLAG_SECRET), out);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        struct slice value = config->priv->raw[i];
        if (value.n == 0 && option->dflt[0])
            value = slice_of(option->dflt, option->kind == OPTION_CHOICE ? strcspn(option->dflt, "|")
                                                                         : strlen(option->dflt));
        if (value.n && (config->priv->raw[i].n == 0 || !in_upstream_report(option->key)))
            report_pair(slice_str(option->key), value, option->flags & OPTION_FLAG_SECRET, out);
    }
}
