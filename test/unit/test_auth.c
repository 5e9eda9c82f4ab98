#include "test/unit/t.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/net/server.h"
#include "shared/rpc/auth.h"
#include "shared/rpc/auth_http.h"

/* ---- a stand-in for the auth service ---- */

enum { MAX_HELD = 64 };

struct canned {
    const char *path, *token;
    int status;
    const char *body;
};

#define HUNDRED \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static const struct canned answers[] = {
    { "/", NULL, 200, "{\"servicename\":\"Authentication Service\",\"version\":\"1\"}" },
    { "/other/", NULL, 200, "{\"servicename\":\"Weather Service\"}" },
    { "/html/", NULL, 200, "<html>" },
    { "/api/V2/token", "good", 200, "{\"user\":\"ann\",\"cachefor\":1}" },
    { "/api/V2/token", "odd", 200, "{\"user\":\"a b!\"}" },
    { "/api/V2/token", "nobody", 200, "{\"user\":\"\"}" },
    { "/api/V2/token", "list", 200, "[]" },
    { "/api/V2/token", "bad", 401, "{\"error\":{\"appcode\":10020,\"message\":\"10020 Invalid token\"}}" },
    { "/api/V2/token", "mute", 500, "{\"error\":{}}" },
    { "/api/V2/token", "strange", 503, "{\"busy\":true}" },
    { "/api/V2/token", "wordy", 503,
      "{\"text\":\"" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\"}" },
    { "/api/V2/token", "html", 502, "<h1>no</h1>" },
    { "/api/V2/token", "long", 502,
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
      "x" },
    { "/api/V2/token", "hundred", 502,
      "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
      "9" },
    { "/api/V2/me", "full", 200, "{\"customroles\":[\"X\",\"READ\",\"FULL\"]}" },
    { "/api/V2/me", "read", 200, "{\"customroles\":[\"READ2\"]}" },
    { "/api/V2/me", "none", 200, "{\"customroles\":[\"full\",1,null]}" },
    { "/api/V2/me", "noroles", 200, "{}" },
    { "/api/V2/me", "disabled", 403, "{\"error\":{\"message\":\"20010 Account disabled\"}}" },
    { "/api/V2/me", "html", 502, "<h1>no</h1>" },
};

struct fake {
    struct http_server *server;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int questions, without_accept;
    bool hold;
    size_t held_count;
    struct http_request *held[MAX_HELD];
};

static void answer(struct http_request *request)
{
    const char *token = http_header(request, "Authorization");
    const struct canned *found = NULL;
    struct http_field type = { "Content-Type", "application/json" };
    char user[128];

    for (size_t i = 0; i < ARRAY_LEN(answers) && !found; i++)
        if (strcmp(answers[i].path, http_path(request)) == 0 &&
            (!answers[i].token || (token && strcmp(token, answers[i].token) == 0)))
            found = &answers[i];
    /* any other token belongs to the user of that name */
    snprintf(user, sizeof(user), "{\"user\":\"%s\",\"customroles\":[]}", token ? token : "");
    const char *body = found ? found->body : user;
    struct http_reply reply = {
        .status = found ? found->status : 200,
        .field_count = 1,
        .fields = &type,
        .bytes = xstrdup(body),
        .len = strlen(body),
    };
    http_reply(request, &reply);
}

static void on_question(void *ctx, struct http_request *request)
{
    struct fake *fake = ctx;
    const char *accept = http_header(request, "Accept");
    bool held = false;

    pthread_mutex_lock(&fake->lock);
    fake->questions++;
    fake->without_accept += !accept || strcmp(accept, "application/json") != 0;
    if (fake->hold && fake->held_count < MAX_HELD) {
        fake->held[fake->held_count++] = request;
        held = true;
    }
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    if (!held)
        answer(request);
}

static void fake_hold(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->hold = true;
    pthread_mutex_unlock(&fake->lock);
}

static void fake_wait_held(struct fake *fake, size_t n)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->held_count < n)
        pthread_cond_wait(&fake->changed, &fake->lock);
    pthread_mutex_unlock(&fake->lock);
}

static void fake_let_go(struct fake *fake)
{
    for (;;) {
        pthread_mutex_lock(&fake->lock);
        fake->hold = false;
        struct http_request *request = fake->held_count ? fake->held[--fake->held_count] : NULL;
        pthread_mutex_unlock(&fake->lock);
        if (!request)
            return;
        answer(request);
    }
}

static int fake_questions(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    int n = fake->questions;
    pthread_mutex_unlock(&fake->lock);
    return n;
}

/* ---- one auth against it ---- */

struct world {
    struct fake fake;
    struct config config;
    struct http_client *client;
    struct auth *auth;
    char *full[1], *read[2];
    char names[3][8];
};

static int open_world(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    struct http_server_options options = {
        .address = "127.0.0.1",
        .threads = 2,
        .max_connections = 100,
        .max_header_bytes = 32768,
        .body = { 65536, 65536, "/tmp" },
        .idle_us = 10000000,
        .header_us = 10000000,
        .request_us = 60000000,
    };
    struct http_client_options client = { .max_connections = 16, .max_waiting = 1000, .user_agent = "test" };
    AUTO_ERR(err);

    pthread_mutex_init(&w->fake.lock, NULL);
    pthread_cond_init(&w->fake.changed, NULL);
    w->fake.server = http_server_new(&options, on_question, &w->fake, &err);
    w->client = http_client_new(&client, &err);
    if (!w->fake.server || !w->client)
        return -1;
    snprintf(w->fake.url, sizeof(w->fake.url), "http://127.0.0.1:%d/", http_server_port(w->fake.server));
    w->config.auth2_service_url = w->fake.url;
    w->config.auth_timeout = 5000000;
    w->config.auth_cache_time = 60000000;
    w->config.auth_cache_size = 100;
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    http_client_free(w->client);
    auth_free(w->auth);
    fake_let_go(&w->fake);
    http_server_free(w->fake.server);
    pthread_mutex_destroy(&w->fake.lock);
    pthread_cond_destroy(&w->fake.changed);
    free(w);
    return 0;
}

static char *copy_name(char to[8], const char *name)
{
    snprintf(to, 8, "%s", name);
    return to;
}

static void use_roles(struct world *w)
{
    w->full[0] = copy_name(w->names[0], "FULL");
    w->config.auth2_ws_admin_full_roles = (struct config_list){ 1, w->full };
}

static void start_auth(struct world *w)
{
    AUTO_ERR(err);

    w->auth = auth_new(&w->config, w->client, &err);
    assert_string_equal(err_text(&err), "");
    assert_non_null(w->auth);
}

/* What a question led to, at once or later. */
struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    int rc;
    enum err_code code;
    char text[2048];
    enum admin_role role;
};

static void outcome_init(struct outcome *o)
{
    *o = (struct outcome){ .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
}

static void note(struct outcome *o, int rc, const char *user, enum admin_role role, struct err *err)
{
    pthread_mutex_lock(&o->lock);
    o->calls++;
    o->rc = rc;
    o->code = err->code;
    o->role = role;
    snprintf(o->text, sizeof(o->text), "%s", rc < 0 ? err_text(err) : user ? user : "");
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void user_done(void *ctx, int rc, const char *user, struct err *err)
{
    note(ctx, rc, user, ADMIN_NONE, err);
}

static void role_done(void *ctx, int rc, enum admin_role role, struct err *err)
{
    note(ctx, rc, NULL, role, err);
}

static void ask_user(struct world *w, const char *token, struct outcome *o)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    const char *user = NULL;
    int rc = auth_user(w->auth, slice_str(token), &arena, &user, user_done, o, &err);

    if (rc != CALL_LATER)
        note(o, rc, user, ADMIN_NONE, &err);
}

static void ask_role(struct world *w, const char *user, const char *token, struct outcome *o)
{
    AUTO_ERR(err);
    enum admin_role role = ADMIN_NONE;
    int rc = auth_role(w->auth, user, slice_str(token), &role, role_done, o, &err);

    if (rc != CALL_LATER)
        note(o, rc, NULL, role, &err);
}

static void wait_outcome(struct outcome *o)
{
    pthread_mutex_lock(&o->lock);
    while (o->calls == 0)
        pthread_cond_wait(&o->changed, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

static void expect_user(struct world *w, const char *token, const char *user)
{
    struct outcome o;

    outcome_init(&o);
    ask_user(w, token, &o);
    wait_outcome(&o);
    assert_string_equal(o.text, user);
    assert_int_equal(o.rc, 0);
}

/* ---- the tests ---- */

static void start_looks_at_the_service(void **state)
{
    struct world *w = *state;
    char other[80], html[80];
    const struct {
        const char *url, *problem;
    } cases[] = {
        { other, "is not the authentication service" },
        { html, "is not the authentication service" },
        { "http://127.0.0.1:1/", "Couldn't connect to authorization service at http://127.0.0.1:1/ : " },
    };

    snprintf(other, sizeof(other), "%sother/", w->fake.url);
    snprintf(html, sizeof(html), "%shtml/", w->fake.url);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ERR(err);
        w->config.auth2_service_url = cases[i].url;
        assert_null(auth_new(&w->config, w->client, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err_text(&err), cases[i].problem));
        assert_non_null(strstr(err_text(&err), "auth2-service-url"));
    }
    w->config.auth2_service_url = w->fake.url;
    start_auth(w);
    assert_int_equal(w->fake.without_accept, 0);
}

static void needs_exactly_one_source(void **state)
{
    struct world *w = *state;
    AUTO_ERR(both);
    AUTO_ERR(neither);

    w->config.auth_tokens_file = "/nonexistent";
    assert_null(auth_new(&w->config, w->client, &both));
    assert_non_null(strstr(err_text(&both), "auth-tokens-file"));
    w->config.auth_tokens_file = w->config.auth2_service_url = NULL;
    assert_null(auth_new(&w->config, w->client, &neither));
    assert_non_null(strstr(err_text(&neither), "exactly one"));
}

#define PREFIX "Token validation failed: "

static const struct {
    const char *token;
    int rc;
    const char *text; /* U: the URL of the question */
} token_texts[] = {
    { "good", 0, "ann" },
    { " good\t", 0, "ann" },
    { "odd", 0, "a b!" },
    { "", -ERR_AUTH, PREFIX "Authorization is required for this method but no credentials were provided" },
    { "  ", -ERR_AUTH, PREFIX "token must be a non-whitespace string" },
    { "go\nod", -ERR_AUTH, PREFIX "Auth service returned an error: 10020 Invalid token" },
    { "bad", -ERR_AUTH, PREFIX "Auth service returned an error: 10020 Invalid token" },
    { "mute", -ERR_AUTH, PREFIX "Auth service returned an error: no message was given" },
    { "nobody", -ERR_AUTH, PREFIX "user cannot be null or empty" },
    { "strange", -ERR_AUTH,
      PREFIX "Unexpected error response from auth url U with response code 503: {\"busy\":true}" },
    { "wordy", -ERR_AUTH,
      PREFIX "Unexpected error response from auth url U with response code 503: {\"text\":\"" HUNDRED HUNDRED
          HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
             "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567..." },
    { "list", -ERR_AUTH,
      PREFIX "Failed reading from auth url U with response code 200 - response is not JSON: []" },
    { "html", -ERR_AUTH,
      PREFIX "Failed reading from auth url U with response code 502 - response is not JSON: <h1>no</h1>" },
    { "long", -ERR_AUTH,
      PREFIX
      "Failed reading from auth url U with response code 502 - response is not JSON: "
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
      "..." },
    { "hundred", -ERR_AUTH,
      PREFIX "Failed reading from auth url U with response code 502 - response is not JSON: "
             "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
             "123456789" },
};

static void tokens_are_checked_with_upstreams_texts(void **state)
{
    struct world *w = *state;

    start_auth(w);
    for (size_t i = 0; i < ARRAY_LEN(token_texts); i++) {
        struct outcome o;
        AUTO_SBUF(expected, 4096);
        const char *hole = strstr(token_texts[i].text, " U ");
        if (hole)
            sbuf_addf(&expected, "%.*s %sapi/V2/token %s", (int)(hole - token_texts[i].text),
                      token_texts[i].text, w->fake.url, hole + 3);
        else
            sbuf_adds(&expected, token_texts[i].text);
        outcome_init(&o);
        ask_user(w, token_texts[i].token, &o);
        wait_outcome(&o);
        assert_string_equal(o.text, expected.p);
        assert_int_equal(o.rc, token_texts[i].rc);
    }
    assert_int_equal(w->fake.without_accept, 0);
}

static void remembers_successes_only(void **state)
{
    struct world *w = *state;
    struct outcome o;

    start_auth(w);
    int before = fake_questions(&w->fake);
    for (int i = 0; i < 3; i++)
        expect_user(w, "good", "ann");
    assert_int_equal(fake_questions(&w->fake), before + 1);
    for (int i = 0; i < 3; i++) {
        outcome_init(&o);
        ask_user(w, "bad", &o);
        wait_outcome(&o);
    }
    assert_int_equal(fake_questions(&w->fake), before + 4);
    AUTO_SBUF(status, 4096);
    auth_status(w->auth, &status);
    assert_string_equal(status.p, "\"auth\":{\"kind\":\"auth2\",\"entries\":1,\"hits\":2,\"misses\":4,"
                                  "\"role_entries\":0,\"role_hits\":0,\"role_misses\":0}");
}

static void forgets_after_some_time(void **state)
{
    struct world *w = *state;

    w->config.auth_cache_time = 100000;
    start_auth(w);
    int before = fake_questions(&w->fake);
    expect_user(w, "good", "ann");
    usleep(150000);
    expect_user(w, "good", "ann");
    assert_int_equal(fake_questions(&w->fake), before + 2);
}

static void keeps_the_newer_half_when_full(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *token;
        int more_questions;
    } cases[] = {
        /* five pushed out 1, 2, 3 */
        { "u4", 0 },
        { "u5", 0 },
        { "u3", 1 },
    };
    char token[16];

    w->config.auth_cache_size = 4;
    start_auth(w);
    for (int i = 1; i <= 5; i++) {
        snprintf(token, sizeof(token), "u%d", i);
        expect_user(w, token, token);
    }
    int before = fake_questions(&w->fake);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_user(w, cases[i].token, cases[i].token);
        assert_int_equal(fake_questions(&w->fake), before + cases[i].more_questions);
    }
}

struct asker {
    struct world *w;
    struct outcome outcomes[5];
};

static void *ask_five_times(void *arg)
{
    struct asker *asker = arg;

    for (size_t i = 0; i < ARRAY_LEN(asker->outcomes); i++)
        ask_user(asker->w, "good", &asker->outcomes[i]);
    return NULL;
}

static void many_who_ask_the_same_share_one_question(void **state)
{
    struct world *w = *state;
    static struct asker askers[4];
    pthread_t threads[4];

    start_auth(w);
    fake_hold(&w->fake);
    int before = fake_questions(&w->fake);
    for (size_t t = 0; t < 4; t++) {
        askers[t].w = w;
        for (size_t i = 0; i < ARRAY_LEN(askers[t].outcomes); i++)
            outcome_init(&askers[t].outcomes[i]);
        assert_int_equal(pthread_create(&threads[t], NULL, ask_five_times, &askers[t]), 0);
    }
    for (size_t t = 0; t < 4; t++)
        pthread_join(threads[t], NULL);
    fake_wait_held(&w->fake, 1);
    fake_let_go(&w->fake);
    for (size_t t = 0; t < 4; t++)
        for (size_t i = 0; i < ARRAY_LEN(askers[t].outcomes); i++)
            wait_outcome(&askers[t].outcomes[i]);
    /* the client's thread has ended: nobody can be called twice any more */
    http_client_free(TAKE(w->client));
    for (size_t t = 0; t < 4; t++) {
        for (size_t i = 0; i < ARRAY_LEN(askers[t].outcomes); i++) {
            assert_int_equal(askers[t].outcomes[i].calls, 1);
            assert_string_equal(askers[t].outcomes[i].text, "ann");
        }
    }
    assert_int_equal(fake_questions(&w->fake), before + 1);
}

static void a_silent_service_is_an_error_soon(void **state)
{
    struct world *w = *state;
    struct outcome o;

    w->config.auth_timeout = 300000;
    start_auth(w);
    fake_hold(&w->fake);
    outcome_init(&o);
    uint64_t start = clock_us();
    ask_user(w, "good", &o);
    wait_outcome(&o);
    assert_int_equal(o.rc, -ERR_AUTH);
    assert_memory_equal(o.text, PREFIX "The auth service did not answer: ", strlen(PREFIX) + 33);
    assert_true(clock_us() - start < 3000000);
    fake_let_go(&w->fake);
    expect_user(w, "good", "ann");
}

static void roles_come_from_the_service(void **state)
{
    static const struct {
        const char *token;
        int rc;
        enum admin_role role;
        const char *text;
    } cases[] = {
        { "full", 0, ADMIN_FULL, "" },
        { "read", 0, ADMIN_READ, "" },
        { "none", 0, ADMIN_NONE, "" },
        { "noroles", 0, ADMIN_NONE, "" },
        { "disabled", -ERR_REMOTE, ADMIN_NONE,
          "KBase authentication service reported an error: 20010 Account disabled" },
        { "html", -ERR_REMOTE, ADMIN_NONE,
          "Invalid KBase authentication server response. Server said 502 Bad Gateway. JSON parser said " },
    };
    struct world *w = *state;

    use_roles(w);
    w->read[0] = copy_name(w->names[1], "READ");
    w->read[1] = copy_name(w->names[2], "READ2");
    w->config.auth2_ws_admin_read_only_roles = (struct config_list){ 2, w->read };
    w->config.ws_admin = "full";
    start_auth(w);
    assert_true(auth_roles_external(w->auth));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int before = fake_questions(&w->fake);
        for (int round = 1; round <= 2; round++) {
            struct outcome o;
            outcome_init(&o);
            ask_role(w, cases[i].token, cases[i].token, &o);
            wait_outcome(&o);
            assert_int_equal(o.rc, cases[i].rc);
            assert_int_equal(o.role, cases[i].role);
            assert_memory_equal(o.text, cases[i].text, strlen(cases[i].text));
            /* also "none" is remembered, failures are not */
            assert_int_equal(fake_questions(&w->fake), before + (cases[i].rc ? round : 1));
        }
    }
    AUTO_SBUF(names, 100);
    auth_put_admins(w->auth, &names);
    assert_int_equal(names.len, 0);
}

static void an_unreachable_service_gives_no_role(void **state)
{
    struct world *w = *state;
    struct outcome o;

    use_roles(w);
    start_auth(w);
    http_server_free(w->fake.server);
    w->fake.server = NULL;
    outcome_init(&o);
    ask_role(w, "ann", "good", &o);
    wait_outcome(&o);
    assert_int_equal(o.rc, -ERR_REMOTE);
    assert_memory_equal(o.text, "Unable to contact the KBase Authentication server: ", 51);
    outcome_init(&o);
    ask_user(w, "good", &o);
    wait_outcome(&o);
    assert_int_equal(o.rc, -ERR_AUTH);
    assert_memory_equal(o.text, PREFIX, strlen(PREFIX));
}

static void without_role_options_one_name_is_admin(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *user;
        enum admin_role role;
    } cases[] = { { "boss", ADMIN_FULL }, { "bos", ADMIN_NONE }, { "bosss", ADMIN_NONE } };

    w->config.ws_admin = "boss";
    start_auth(w);
    assert_false(auth_roles_external(w->auth));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o;
        outcome_init(&o);
        ask_role(w, cases[i].user, "full", &o);
        assert_int_equal(o.calls, 1);
        assert_int_equal(o.role, cases[i].role);
    }
    AUTO_SBUF(names, 100);
    auth_put_admins(w->auth, &names);
    assert_string_equal(names.p, "\"boss\"");
}

static void closing_ends_the_waiting(void **state)
{
    struct world *w = *state;
    struct outcome before, after;

    start_auth(w);
    fake_hold(&w->fake);
    outcome_init(&before);
    ask_user(w, "good", &before);
    fake_wait_held(&w->fake, 1);
    auth_close(w->auth);
    assert_int_equal(before.calls, 1);
    assert_int_equal(before.rc, -ERR_NOT_STARTED);
    assert_string_equal(before.text, "The server is shutting down");
    outcome_init(&after);
    ask_user(w, "other", &after);
    assert_int_equal(after.rc, -ERR_NOT_STARTED);
    fake_let_go(&w->fake);
    http_client_free(TAKE(w->client));
    assert_int_equal(before.calls, 1);
}

/* Answers each connection's first request, and closes it without an answer when the next one has come. */
static void *serve_one_request_each(void *arg)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    static const char *const bodies[] = { "{\"servicename\":\"Authentication Service\"}",
                                          "{\"user\":\"ann\"}" };
    int listener = *(int *)arg;

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char buf[4096];
        int fd = accept(listener, NULL, NULL);
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        AUTO_SBUF(text, 1000);
        sbuf_addf(&text, "%sContent-Length: %zu\r\n\r\n%s", head, strlen(bodies[i]), bodies[i]);
        if (n > 0)
            n = send(fd, text.p, text.len, MSG_NOSIGNAL);
        if (n > 0 && i == 0)
            n = recv(fd, buf, sizeof(buf), 0);
        close(fd);
    }
    return NULL;
}

static void a_kept_connection_that_ends_is_no_failure(void **state)
{
    struct world *w = *state;
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    char url[64];

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_one_request_each, &listener), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(at.sin_port));
    w->config.auth2_service_url = url;
    start_auth(w);
    expect_user(w, "good", "ann");
    pthread_join(thread, NULL);
    close(listener);
    http_client_free(TAKE(w->client));
    auth_free(TAKE(w->auth));
}

static void urls_have_one_slash(void **state)
{
    (void)state;
    static const char *const roots[] = { "http://h/auth", "http://h/auth/", "http://h/auth//" };

    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        AUTO(free_str_auto) char *url = auth_http_url(roots[i], "api/V2/me");
        assert_string_equal(url, "http://h/auth/api/V2/me");
    }
}

/* ---- tokens file ---- */

static void put_line(FILE *f, const char *user, const char *role, const char *token)
{
    char hash[SHA256_HEX + 1];

    sha256_hex(slice_str(token), hash);
    assert_true(fprintf(f, "%s %s %s\n", user, role, hash) > 0);
}

static void expect_file_roles(struct world *w)
{
    static const struct {
        const char *user, *token;
        enum admin_role role;
    } roles[] = {
        { "ann", "tok-a", ADMIN_FULL },
        { "bob", "tok-b", ADMIN_READ },
        { "cyd", "tok-c", ADMIN_FULL },
        { "eve", "tok-e", ADMIN_NONE },
    };

    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        struct outcome o;
        outcome_init(&o);
        ask_role(w, roles[i].user, roles[i].token, &o);
        assert_int_equal(o.role, roles[i].role);
    }
}

static void a_tokens_file_is_read_again_on_demand(void **state)
{
    struct world *w = *state;
    char path[] = "/tmp/wstyped-auth-XXXXXX";
    int fd = mkstemp(path);
    struct outcome o;
    AUTO_ERR(err);
    AUTO_ERR(wrong);

    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    put_line(f, "ann", "admin", "tok-a");
    put_line(f, "bob", "read-admin", "tok-b");
    put_line(f, "cyd", "user", "tok-c");
    assert_int_equal(fclose(f), 0);
    w->config.auth2_service_url = NULL;
    w->config.auth_tokens_file = path;
    w->config.ws_admin = "cyd";
    start_auth(w);
    expect_user(w, "tok-a", "ann");
    expect_user(w, " tok-b ", "bob");
    outcome_init(&o);
    ask_user(w, "tok-x", &o);
    assert_int_equal(o.rc, -ERR_AUTH);
    assert_string_equal(o.text, PREFIX "Auth service returned an error: 10020 Invalid token");
    expect_file_roles(w);
    AUTO_SBUF(names, 100);
    auth_put_admins(w->auth, &names);
    assert_string_equal(names.p, "\"ann\",\"cyd\"");

    f = fopen(path, "w");
    assert_true(fputs("nonsense\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(auth_reload(w->auth, &wrong), -ERR_CONFIG);
    assert_non_null(strstr(err_text(&wrong), "auth-tokens-file: "));
    expect_user(w, "tok-a", "ann");

    f = fopen(path, "w");
    put_line(f, "dan", "user", "tok-a");
    assert_int_equal(fclose(f), 0);
    assert_int_equal(auth_reload(w->auth, &err), 0);
    expect_user(w, "tok-a", "dan");
    unlink(path);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(start_looks_at_the_service),
        WORLD_TEST(needs_exactly_one_source),
        WORLD_TEST(tokens_are_checked_with_upstreams_texts),
        WORLD_TEST(remembers_successes_only),
        WORLD_TEST(forgets_after_some_time),
        WORLD_TEST(keeps_the_newer_half_when_full),
        WORLD_TEST(many_who_ask_the_same_share_one_question),
        WORLD_TEST(a_silent_service_is_an_error_soon),
        WORLD_TEST(roles_come_from_the_service),
        WORLD_TEST(an_unreachable_service_gives_no_role),
        WORLD_TEST(without_role_options_one_name_is_admin),
        WORLD_TEST(closing_ends_the_waiting),
        WORLD_TEST(a_kept_connection_that_ends_is_no_failure),
        WORLD_TEST(a_tokens_file_is_read_again_on_demand),
        cmocka_unit_test(urls_have_one_slash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
