#include "shared/rpc/auth.h"

#include <pthread.h>
#include <stdio.h>

#include "shared/base/digest.h"
#include "shared/base/utf.h"
#include "shared/rpc/auth_cache.h"
#include "shared/rpc/auth_file.h"
#include "shared/rpc/auth_http.h"
#include "shared/rpc/role.h"

/* as many roles as upstream keeps */
enum { ROLE_CACHE_SIZE = 100 };

#define TOKEN_PREFIX "Token validation failed: "
#define CLOSED_TEXT "The server is shutting down"

struct auth {
    const struct config *config;
    struct http_client *client;
    struct auth_file *file; /* NULL: an auth2 service */
    char *token_url, *role_url;
    struct auth_cache *users, *roles;
};

/* One request to auth2 on its way. */
struct question {
    struct auth *auth;
    bool is_role;
    char *key;  /* of the cache */
    char *text; /* of the question */
    char *token;
};

/* ---- start and end ---- */

struct root_check {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    const char *url;
    bool done;
    int rc;
    struct err *err;
};

static void root_done(void *ctx, struct http_result *result)
{
    struct root_check *check = ctx;

    pthread_mutex_lock(&check->lock);
    check->rc = auth_http_read_root(check->url, result, check->err);
    check->done = true;
    pthread_cond_signal(&check->answered);
    pthread_mutex_unlock(&check->lock);
}

static int check_root(const struct config *config, struct http_client *client, struct err *err)
{
    struct root_check check = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, config->auth2_service_url, false, 0, err,
    };

    auth_http_get(client, check.url, NULL, (uint64_t)config->auth_timeout, root_done, &check);
    pthread_mutex_lock(&check.lock);
    while (!check.done)
        pthread_cond_wait(&check.answered, &check.lock);
    pthread_mutex_unlock(&check.lock);
    pthread_cond_destroy(&check.answered);
    pthread_mutex_destroy(&check.lock);
    return check.rc;
}

static int open_file(struct auth *auth, struct err *err)
{
    auth->file = auth_file_new(auth->config, err);
    return auth->file ? 0 : -ERR_CONFIG;
}

static int open_http(struct auth *auth, struct err *err)
{
    const struct config *config = auth->config;
    size_t size = (size_t)config->auth_cache_size;

    auth->token_url = auth_http_url(config->auth2_service_url, "api/V2/token");
    auth->role_url = auth_http_url(config->auth2_service_url, "api/V2/me");
    auth->users = auth_cache_new(size, (size + 1) / 2, (uint64_t)config->auth_cache_time);
    auth->roles = auth_cache_new(ROLE_CACHE_SIZE, ROLE_CACHE_SIZE, (uint64_t)config->auth_cache_time);
    return check_root(config, auth->client, err);
}

struct auth *auth_new(const struct config *config, struct http_client *client, struct err *err)
{
    if (!config->auth2_service_url == !config->auth_tokens_file) {
        err_set(err, ERR_CONFIG, "exactly one of auth2-service-url and auth-tokens-file must be given");
        return NULL;
    }
    AUTO(auth_free_auto) struct auth *auth = xcalloc(1, sizeof(*auth));
    auth->config = config;
    auth->client = client;
    int rc = config->auth_tokens_file ? open_file(auth, err) : open_http(auth, err);
    return rc < 0 ? NULL : TAKE(auth);
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    auth_file_free(auth->file);
    auth_cache_free(auth->users);
    auth_cache_free(auth->roles);
    free(auth->token_url);
    free(auth->role_url);
    free(auth);
}

int auth_reload(struct auth *auth, struct err *err)
{
    return auth->file ? auth_file_reload(auth->file, err) : 0;
}

/* ---- answers ---- */

/* Each waiter gets an error of its own, because callbacks may take it. */
static void tell(struct auth_waiter *waiters, int rc, const struct auth_answer *answer,
                 const struct err *problem)
{
    for (struct auth_waiter *waiter = waiters, *next; waiter; waiter = next) {
        AUTO_ERR(err);
        next = waiter->next;
        if (rc < 0)
            err_set_text(&err, problem->code, slice_of(problem->text, problem->len));
        if (waiter->user_done)
            waiter->user_done(waiter->ctx, rc, answer->user, &err);
        else
            waiter->role_done(waiter->ctx, rc, answer->role, &err);
        free(waiter);
    }
}

static void question_free(struct question *question)
{
    explicit_bzero(question->token, strlen(question->token));
    free(question->token);
    free(question->key);
    free(question->text);
    free(question);
}

static void answered(void *ctx, struct http_result *result)
{
    struct question *question = ctx;
    struct auth *auth = question->auth;
    struct auth_answer answer = { NULL, ADMIN_NONE };
    AUTO(free_str_auto) char *user = NULL;
    AUTO_ERR(err);
    int rc;

    if (question->is_role) {
        rc = auth_http_read_role(auth->config, result, &answer.role, &err);
    } else {
        rc = auth_http_read_user(auth->token_url, result, &user, &err);
        err_prefix(&err, TOKEN_PREFIX);
        answer.user = user;
    }
    struct auth_waiter *waiters = auth_cache_end(question->is_role ? auth->roles : auth->users, question->key,
                                                 question->text, rc < 0 ? NULL : &answer);
    question_free(question);
    tell(waiters, rc, &answer, &err);
}

void auth_close(struct auth *auth)
{
    static const struct auth_answer nothing = { NULL, ADMIN_NONE };
    AUTO_ERR(token_err);
    AUTO_ERR(role_err);

    if (auth->file)
        return;
    int rc = err_set(&token_err, ERR_NOT_STARTED, CLOSED_TEXT);
    tell(auth_cache_close(auth->users), rc, &nothing, &token_err);
    rc = err_set(&role_err, ERR_NOT_STARTED, CLOSED_TEXT);
    tell(auth_cache_close(auth->roles), rc, &nothing, &role_err);
}

/* ---- questions ---- */

/* Upstream's wording of the refusals that need no question. */
static int check_token(struct slice token, struct slice *ret_trimmed, struct err *err)
{
    *ret_trimmed = utf_trim(token);
    if (token.n == 0)
        return err_set(err, ERR_AUTH,
                       TOKEN_PREFIX
                       "Authorization is required for this method but no credentials were provided");
    if (ret_trimmed->n == 0)
        return err_set(err, ERR_AUTH, TOKEN_PREFIX "token must be a non-whitespace string");
    return 0;
}

/* A header cannot carry these on, so no valid token has them. */
static bool has_controls(struct slice token)
{
    for (size_t i = 0; i < token.n; i++)
        if ((unsigned char)token.p[i] < ' ' || token.p[i] == 0x7f)
            return true;
    return false;
}

static int not_asked(enum auth_cache_state state, enum err_code code, const char *prefix, struct err *err)
{
    if (state == AUTH_CACHE_CLOSED)
        return err_set(err, ERR_NOT_STARTED, CLOSED_TEXT);
    return err_set(err, code, "%stoo many questions are waiting for the auth service", prefix);
}

static void send_question(struct auth *auth, bool is_role, const char *key, const char *text,
                          struct slice token)
{
    struct question *question = xcalloc(1, sizeof(*question));

    question->auth = auth;
    question->is_role = is_role;
    question->key = xstrdup(key);
    question->text = xstrdup(text);
    question->token = xmemdup(token.p, token.n);
    auth_http_get(auth->client, is_role ? auth->role_url : auth->token_url, question->token,
                  (uint64_t)auth->config->auth_timeout, answered, question);
}

int auth_user(struct auth *auth, struct slice token, struct arena *arena, const char **ret_user,
              auth_user_fn *done, void *ctx, struct err *err)
{
    char hash[SHA256_HEX + 1];
    struct auth_answer answer;
    struct slice trimmed;
    int rc = check_token(token, &trimmed, err);

    if (rc < 0)
        return rc;
    if (has_controls(trimmed))
        return err_set(err, ERR_AUTH, TOKEN_PREFIX "Auth service returned an error: 10020 Invalid token");
    sha256_hex(trimmed, hash);
    if (auth->file) {
        rc = auth_file_user(auth->file, hash, arena, ret_user, err);
        err_prefix(err, TOKEN_PREFIX);
        return rc;
    }
    struct auth_waiter waiter = { .user_done = done, .ctx = ctx };
    enum auth_cache_state state = auth_cache_get(auth->users, hash, hash, &waiter, arena, &answer);
    if (state == AUTH_CACHE_HIT) {
        *ret_user = answer.user;
        return 0;
    }
    if (state != AUTH_CACHE_ASK && state != AUTH_CACHE_WAIT)
        return not_asked(state, ERR_AUTH, TOKEN_PREFIX, err);
    if (state == AUTH_CACHE_ASK)
        send_question(auth, false, hash, hash, trimmed);
    return CALL_LATER;
}

int auth_role(struct auth *auth, const char *user, struct slice token, enum admin_role *ret_role,
              auth_role_fn *done, void *ctx, struct err *err)
{
    char hash[SHA256_HEX + 1];
    struct slice trimmed = utf_trim(token);
    struct auth_answer answer;

    sha256_hex(trimmed, hash);
    if (!role_external(auth->config)) {
        *ret_role =
            auth->file ? auth_file_role(auth->file, user, hash) : role_local(auth->config, user, NULL);
        return 0;
    }
    /* the answer is remembered for the user, but only calls with the same token share a question */
    AUTO_ARENA(arena);
    const char *text = arena_printf(&arena, "%s %s", hash, user);
    struct auth_waiter waiter = { .role_done = done, .ctx = ctx };
    enum auth_cache_state state = auth_cache_get(auth->roles, user, text, &waiter, &arena, &answer);
    if (state == AUTH_CACHE_HIT) {
        *ret_role = answer.role;
        return 0;
    }
    if (state != AUTH_CACHE_ASK && state != AUTH_CACHE_WAIT)
        return not_asked(state, ERR_REMOTE, "Unable to contact the KBase Authentication server: ", err);
    if (state == AUTH_CACHE_ASK)
        send_question(auth, true, user, text, trimmed);
    return CALL_LATER;
}

bool auth_roles_external(const struct auth *auth)
{
    return role_external(auth->config);
}

void auth_put_admins(struct auth *auth, struct sbuf *names)
{
    if (auth->file)
        auth_file_put_admins(auth->file, names);
    else if (!role_external(auth->config) && auth->config->ws_admin)
        json_put_str(names, auth->config->ws_admin);
}

void auth_status(struct auth *auth, struct sbuf *json)
{
    if (auth->file) {
        sbuf_addf(json, "\"auth\":{\"kind\":\"tokens-file\",\"entries\":%zu,\"hits\":0,\"misses\":0}",
                  auth_file_count(auth->file));
        return;
    }
    struct auth_cache_counts users = auth_cache_count(auth->users), roles = auth_cache_count(auth->roles);
    sbuf_addf(json,
              "\"auth\":{\"kind\":\"auth2\",\"entries\":%zu,\"hits\":%llu,\"misses\":%llu,"
              "\"role_entries\":%zu,\"role_hits\":%llu,\"role_misses\":%llu}",
              users.entries, (unsigned long long)users.hits, (unsigned long long)users.misses, roles.entries,
              (unsigned long long)roles.hits, (unsigned long long)roles.misses);
}
