#include "dws/target.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/log.h"
#include "shared/base/url.h"
#include "shared/net/client.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/service.h"

#define SECOND ((uint64_t)1000000)

enum {
    MAX_ANSWER = 65536,
    MAX_ADDRESSES = 64,
    ADDRESS_SIZE = 64,
    CHECK_CONNECTIONS = 2,
    MAX_TEXT = 4096,
};

#define CHECK_LONGEST (10 * SECOND)
/* While it was never fine: often at first, so that services that start together find each other. */
#define START_FIRST_PAUSE (SECOND / 20)
#define START_PAUSE (SECOND / 2)
#define START_LATE_PAUSE (2 * SECOND)
#define START_LATE (10 * SECOND)
/* After it was fine once and is not any more. */
#define TROUBLED_PAUSE (5 * SECOND)
/* Between checks that calls give rise to. */
#define EVENT_PAUSE SECOND
/* A check that began so lately counts as done for whoever wants a fresh one. */
#define CONFIRM_FRESH (SECOND / 4)
/* A refused process answers for a while yet, so that its partner in the loop sees it and ends with the same
 * text. */
#define LINGER (SECOND)

#define PROBE_PREFIX "Nonce"
#define PROBE_SUFFIX ".T"

static const char no_cluster[] = "00000000000000000000000000000000";

/* At the gate. */
struct waiter {
    struct waiter *next;
    uint64_t check; /* waits for the end of this one; they count from 1 */
    bool fresh;     /* it must have ended well */
    uint64_t deadline_us;
    target_gate_fn *done;
    void *ctx;
};

struct target {
    const struct config *config;
    char node[HOPS_ID_LEN + 1];
    char *public_url;
    struct http_client *client;
    target_failed_fn *failed_fn;
    void *failed_ctx;
    target_found_fn *found_fn;
    void *found_ctx;
    pthread_t thread;
    bool has_thread;
    bool may_be_down; /* at start */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    enum target_state state;
    char *reason; /* of states other than OK */
    bool is_loop; /* the reason is a loop */
    uint64_t since_us, started_us, checked_us, check_began_us, event_us;
    uint64_t checks; /* that have ended */
    bool checking;   /* one is under way */
    bool ever_ok, settled, wanted;
    struct err failure;
    struct identity identity;
    char probe[RANDOM_ID_HEX + 1];
    bool probe_came_back;
    char addresses[MAX_ADDRESSES][ADDRESS_SIZE];
    size_t address_count;
    struct waiter *waiters;
    size_t waiter_count;
};

/* What a check found. */
struct finding {
    enum identity_verdict verdict;
    bool is_loop;
    bool has_identity;
    struct identity identity;
    struct sbuf reason;
};

/* A question on its way, on the stack of the thread that waits for it. */
struct question {
    struct target *target;
    struct sbuf body;
    bool done;
    enum http_outcome outcome;
    int status;
    struct spool *answer;
    char problem[128], address[ADDRESS_SIZE];
    uint64_t took_us;
};

/* Under the lock, which is given up meanwhile. Returns early when something changed. */
static void wait_until(struct target *t, uint64_t until)
{
    struct timespec at = { (time_t)(until / SECOND), (long)(until % SECOND) * 1000 };

    pthread_cond_timedwait(&t->changed, &t->lock, &at);
}

/* ---- addresses ---- */

static bool add_address(struct target *t, const char *address)
{
    for (size_t i = 0; i < t->address_count; i++)
        if (strcmp(t->addresses[i], address) == 0)
            return false;
    if (t->address_count == MAX_ADDRESSES)
        t->address_count = 0;
    snprintf(t->addresses[t->address_count++], ADDRESS_SIZE, "%s", address);
    return true;
}

/* ---- the gate ---- */

/* Under the lock. Whether calls may go on as things stand. */
static int may_use(const struct target *t, struct err *err)
{
    if (t->state == TARGET_REFUSED)
        return err_set(err, t->is_loop ? ERR_LOOP : ERR_TARGET,
                       "Delegation has stopped, because the delegation target (type-delegation-target) must "
                       "not be used: %s",
                       t->reason);
    if (t->state == TARGET_CHECKING)
        return err_set(err, ERR_TARGET,
                       "The delegation target (type-delegation-target) has not been found yet: %s",
                       t->reason);
    return 0;
}

/* Under the lock. */
static int outcome_for(const struct target *t, const struct waiter *w, struct err *err)
{
    bool looked = t->checks >= w->check && t->state == TARGET_OK && !t->stopping;
    int rc = may_use(t, err);

    if (rc == 0 && w->fresh && !looked)
        rc = err_set(err, ERR_TARGET,
                     "Many equal calls are in progress, and the delegation target (type-delegation-target) "
                     "could not be checked for a delegation loop");
    return rc;
}

/* Under the lock. Those whose check has ended or whose time is up, who came first first. */
static struct waiter *take_waiters(struct target *t)
{
    struct waiter *taken = NULL;
    uint64_t now = clock_us();

    for (struct waiter **at = &t->waiters; *at;) {
        struct waiter *w = *at;
        if (!t->stopping && t->checks < w->check && now < w->deadline_us) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = taken;
        taken = w;
        t->waiter_count--;
    }
    return taken;
}

/* Under the lock, which is given up meanwhile: what is called may call back. */
static void answer_waiters(struct target *t)
{
    for (struct waiter *w = take_waiters(t), *next; w; w = next) {
        AUTO_ERR(err);
        int rc = outcome_for(t, w, &err);
        pthread_mutex_unlock(&t->lock);
        next = w->next;
        w->done(w->ctx, rc, &err);
        free(w);
        pthread_mutex_lock(&t->lock);
    }
}

/* Under the lock. When the next waiter's time is up. */
static uint64_t next_deadline(const struct target *t)
{
    uint64_t next = clock_us() + CHECK_LONGEST;

    for (const struct waiter *w = t->waiters; w; w = w->next)
        if (w->deadline_us < next)
            next = w->deadline_us;
    return next;
}

/* Under the lock. */
static int add_waiter(struct target *t, const struct waiter *waiter, struct err *err)
{
    if (t->stopping)
        return outcome_for(t, waiter, err);
    if (t->waiter_count >= (size_t)t->config->delegation_queue)
        return err_set(err, ERR_BUSY,
                       "Too many calls wait for the delegation target (type-delegation-target)");
    struct waiter *w = xmalloc(sizeof(*w));
    *w = *waiter;
    w->next = t->waiters;
    t->waiters = w;
    t->waiter_count++;
    pthread_cond_broadcast(&t->changed);
    return TARGET_LATER;
}

int target_gate(struct target *t, bool fresh, uint64_t deadline_us, target_gate_fn *done, void *ctx,
                struct err *err)
{
    struct waiter w = { NULL, 1, fresh, deadline_us, done, ctx };

    pthread_mutex_lock(&t->lock);
    /* a load balancer may be faster than the first look at the target */
    bool first = t->checks == 0;
    bool is_fresh = t->state == TARGET_OK && !t->checking && clock_us() - t->check_began_us < CONFIRM_FRESH;
    int rc = first ? 0 : may_use(t, err);
    if (fresh)
        w.check = t->checks + (t->checking ? 2 : 1);
    if (rc == 0 && (first || (fresh && !is_fresh)))
        rc = add_waiter(t, &w, err);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

/* ---- asking ---- */

/* Questions carry the mark, like forwarded calls. */
static struct hops own_mark(const struct target *t)
{
    struct hops hops = { .count = 1 };

    memcpy(hops.cluster, no_cluster, sizeof(no_cluster));
    memcpy(hops.nodes[0], t->node, sizeof(t->node));
    return hops;
}

static void question_done(void *ctx, struct http_result *result)
{
    struct question *q = ctx;
    struct target *t = q->target;

    pthread_mutex_lock(&t->lock);
    q->outcome = result->outcome;
    q->status = result->status;
    q->answer = TAKE(result->body);
    q->took_us = result->took_us;
    snprintf(q->problem, sizeof(q->problem), "%s", result->problem ? result->problem : "");
    snprintf(q->address, sizeof(q->address), "%s", result->address ? result->address : "");
    q->done = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static uint64_t longest_question(const struct target *t)
{
    uint64_t start = (uint64_t)t->config->delegation_start_timeout;

    if (t->ever_ok || start > CHECK_LONGEST)
        return CHECK_LONGEST;
    return start > SECOND ? start : SECOND;
}

/* Sends q->body and waits; false, with a text in problem, if nothing came back. */
static bool ask(struct target *t, struct question *q, struct sbuf *problem)
{
    struct hops hops = own_mark(t);
    AUTO_SBUF(mark, MAX_TEXT);

    q->target = t;
    hops_put_header(&mark, &hops);
    const struct http_field fields[] = { { "Content-Type", "application/json" }, { HOPS_HEADER, mark.p } };
    const struct http_send send = {
        .verb = "POST",
        .url = t->public_url,
        .field_count = ARRAY_LEN(fields),
        .fields = fields,
        .part_count = 1,
        .parts = { sbuf_slice(&q->body) },
        .connect_us = (uint64_t)t->config->delegation_connect_timeout,
        .first_byte_us = longest_question(t),
        .total_us = longest_question(t),
        .answer = { MAX_ANSWER, MAX_ANSWER, t->config->temp_dir },
        .flags = HTTP_FRESH,
        .done = question_done,
        .ctx = q,
    };
    http_send(t->client, &send);
    pthread_mutex_lock(&t->lock);
    while (!q->done) {
        wait_until(t, next_deadline(t));
        answer_waiters(t);
    }
    if (q->outcome == HTTP_ANSWERED)
        add_address(t, q->address);
    pthread_mutex_unlock(&t->lock);
    if (q->outcome == HTTP_ANSWERED)
        return true;
    sbuf_addf(problem, "%s after %llu ms", q->problem, (unsigned long long)(q->took_us / 1000));
    return false;
}

static void put_question(struct sbuf *body, const struct target *t, const char *method, const char *param)
{
    struct hops hops = own_mark(t);

    sbuf_addf(body, "{\"params\":[%s%s%s],\"method\":\"%s\",\"version\":\"1.1\",\"id\":\"check\"",
              param ? "\"" : "", param ? param : "", param ? "\"" : "", method);
    envelope_put_mark(body, 1, false, &hops);
    sbuf_addc(body, '}');
}

static struct slice answer_bytes(struct question *q)
{
    struct slice bytes = SLICE("");

    if (q->answer && spool_bytes(q->answer, &bytes, NULL) < 0)
        return SLICE("");
    return bytes;
}

static void question_release(struct question *q)
{
    sbuf_release(&q->body);
    spool_free(q->answer);
}

#define QUESTION_INIT \
    { \
        .body = SBUF_INIT(MAX_TEXT) \
    }

/* ---- one check ---- */

static void judge_answer(enum identity_answer answer, struct finding *f)
{
    if (answer == ANSWER_LOOP) {
        f->verdict = VERDICT_REFUSED;
        f->is_loop = true;
    } else {
        f->verdict = VERDICT_WAIT;
    }
}

/* Whoever does not know TypeService.describe is fine unless the probe arrives here. */
static void probe(struct target *t, struct finding *f)
{
    AUTO(question_release) struct question q = QUESTION_INIT;
    char name[sizeof(PROBE_PREFIX PROBE_SUFFIX) + RANDOM_ID_HEX];

    pthread_mutex_lock(&t->lock);
    random_id(t->probe);
    t->probe_came_back = false;
    snprintf(name, sizeof(name), PROBE_PREFIX "%s" PROBE_SUFFIX, t->probe);
    pthread_mutex_unlock(&t->lock);
    put_question(&q.body, t, "Workspace.get_type_info", name);
    bool answered = ask(t, &q, &f->reason);
    pthread_mutex_lock(&t->lock);
    bool came_back = t->probe_came_back;
    pthread_mutex_unlock(&t->lock);
    if (came_back) {
        sbuf_reset(&f->reason);
        sbuf_addf(&f->reason,
                  "delegation loop: a call sent to type-delegation-target came back to this process: "
                  "%s -> (unknown) -> %s",
                  t->node, t->node);
        judge_answer(ANSWER_LOOP, f);
        return;
    }
    enum identity_answer answer =
        answered ? identity_read_probe(q.status, answer_bytes(&q), &f->reason) : ANSWER_NOT_UP;
    if (answer != ANSWER_FINE) {
        judge_answer(answer, f);
        return;
    }
    f->identity = (struct identity){ .kind = IDENTITY_OTHER, .complete = true };
    f->has_identity = true;
    f->verdict = VERDICT_OK;
}

static void look(struct target *t, struct finding *f)
{
    AUTO(question_release) struct question q = QUESTION_INIT;

    put_question(&q.body, t, "TypeService.describe", NULL);
    if (!ask(t, &q, &f->reason)) {
        f->verdict = VERDICT_WAIT;
        return;
    }
    enum identity_answer answer = identity_read(q.status, answer_bytes(&q), &f->identity, &f->reason);
    if (answer == ANSWER_FINE) {
        f->has_identity = true;
        f->verdict = identity_judge(&f->identity, t->node, (int)t->config->delegation_max_hops, &f->reason);
        f->is_loop = f->verdict == VERDICT_REFUSED;
    } else if (answer == ANSWER_NOT_KNOWN) {
        sbuf_reset(&f->reason);
        probe(t, f);
    } else {
        judge_answer(answer, f);
    }
}

/* ---- what follows from it ---- */

static const char *state_name(enum target_state state)
{
    static const char *const names[] = {
        [TARGET_CHECKING] = "checking",
        [TARGET_OK] = "ok",
        [TARGET_DOWN] = "down",
        [TARGET_REFUSED] = "refused",
    };

    return names[state];
}

static void log_state(const struct target *t)
{
    AUTO_SBUF(fields, 2 * MAX_TEXT);

    log_put(&fields, "state", slice_str(state_name(t->state)));
    log_put(&fields, "type-delegation-target", slice_str(t->public_url));
    if (t->state == TARGET_OK) {
        log_put(&fields, "role", slice_str(identity_kind_name(t->identity.kind)));
        log_put(&fields, "node", slice_str(t->identity.node));
        log_put(&fields, "cluster", slice_str(t->identity.cluster));
    } else {
        log_put(&fields, "reason", slice_str(t->reason));
    }
    log_event(t->state == TARGET_OK ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "target.state", &fields);
}

static void set_state(struct target *t, enum target_state state, const struct sbuf *reason)
{
    bool news = state != t->state || t->checks == 1;

    if (state != t->state)
        t->since_us = clock_us();
    t->state = state;
    free(t->reason);
    t->reason = xstrdup(reason->p ? reason->p : "");
    if (news)
        log_state(t);
}

static void note_cluster(const struct target *t, const struct identity *found)
{
    if (t->identity.cluster[0] && found->cluster[0] && strcmp(t->identity.cluster, found->cluster) != 0)
        log_message(LOG_LEVEL_ERROR, "target.cluster_changed",
                    "type-delegation-target leads to type database %s now, not to %s any more",
                    found->cluster, t->identity.cluster);
}

static void take_finding(struct target *t, const struct finding *f)
{
    static const enum target_state states[] = {
        [VERDICT_OK] = TARGET_OK,
        [VERDICT_WAIT] = TARGET_DOWN,
        [VERDICT_REFUSED] = TARGET_REFUSED,
    };
    enum target_state state = states[f->verdict];

    t->checks++;
    t->checked_us = clock_us();
    if (f->has_identity) {
        note_cluster(t, &f->identity);
        t->identity = f->identity;
    }
    t->ever_ok = t->ever_ok || f->verdict == VERDICT_OK;
    t->settled = t->settled || t->ever_ok;
    t->is_loop = f->is_loop;
    set_state(t, state == TARGET_DOWN && !t->ever_ok ? TARGET_CHECKING : state, &f->reason);
}

/* Whether the process must end: a wrong target at start, or one that stays down. */
static bool decide_start(struct target *t)
{
    double waited = (double)(clock_us() - t->started_us) / (double)SECOND;

    if (t->ever_ok || t->settled)
        return false;
    if (t->state == TARGET_REFUSED) {
        err_set(&t->failure, ERR_CONFIG, "type-delegation-target = %s cannot be used: %s", t->public_url,
                t->reason);
        return true;
    }
    if (!t->may_be_down && clock_us() - t->started_us < (uint64_t)t->config->delegation_start_timeout)
        return false;
    if (t->may_be_down || t->config->start_degraded) {
        t->settled = true;
        return false;
    }
    err_set(&t->failure, ERR_CONFIG, "type-delegation-target = %s is still down after %.1f s: %s",
            t->public_url, waited, t->reason);
    return true;
}

/* ---- the thread ---- */

static uint64_t pause_us(const struct target *t, unsigned tries)
{
    uint64_t interval = (uint64_t)t->config->delegation_check_interval, pause;

    if (t->state == TARGET_OK)
        return interval;
    if (t->ever_ok)
        pause = TROUBLED_PAUSE;
    else if (clock_us() - t->started_us > START_LATE)
        pause = START_LATE_PAUSE;
    else
        pause = tries < 4 ? START_FIRST_PAUSE << tries : START_PAUSE;
    return pause < interval ? pause : interval;
}

/* Under the lock. Returns early when a check is wanted, with EVENT_PAUSE since the last, or somebody waits
 * for one. */
static void pause_until(struct target *t, uint64_t until)
{
    for (;;) {
        uint64_t now = clock_us(), wake = until;
        if (t->wanted && t->check_began_us + EVENT_PAUSE < wake)
            wake = t->check_began_us + EVENT_PAUSE;
        if (t->stopping || t->waiters || now >= wake)
            return;
        wait_until(t, wake);
    }
}

/* Under the lock, which is given up meanwhile. */
static void check(struct target *t)
{
    struct finding f = { .verdict = VERDICT_WAIT, .reason = SBUF_INIT(MAX_TEXT) };

    t->wanted = false;
    t->checking = true;
    t->check_began_us = clock_us();
    pthread_mutex_unlock(&t->lock);
    look(t, &f);
    if (f.has_identity && t->found_fn)
        t->found_fn(t->found_ctx, f.identity.cluster);
    pthread_mutex_lock(&t->lock);
    t->checking = false;
    if (!t->stopping)
        take_finding(t, &f);
    answer_waiters(t);
    sbuf_release(&f.reason);
}

static void linger(struct target *t)
{
    uint64_t until = clock_us() + LINGER;

    while (!t->stopping && clock_us() < until)
        wait_until(t, until);
}

static void *target_main(void *arg)
{
    struct target *t = arg;
    bool failed = false;

    pthread_mutex_lock(&t->lock);
    for (unsigned tries = 0; !t->stopping && !failed; tries++) {
        check(t);
        failed = !t->stopping && decide_start(t);
        if (t->state == TARGET_OK)
            tries = 0;
        if (!failed)
            pause_until(t, clock_us() + pause_us(t, tries));
    }
    if (failed && t->state == TARGET_REFUSED)
        linger(t);
    pthread_mutex_unlock(&t->lock);
    if (failed)
        t->failed_fn(t->failed_ctx);
    return NULL;
}

/* ---- start and end ---- */

struct target *target_new(const struct config *config, const char *node, struct err *err)
{
    const struct http_client_options options = { CHECK_CONNECTIONS, CHECK_CONNECTIONS,
                                                 "wstyped/" WSTYPED_VERSION };
    struct http_client *client = http_client_new(&options, err);
    struct sbuf url = SBUF_INIT(SBUF_NO_LIMIT);
    pthread_condattr_t monotonic;

    if (!client)
        return NULL;
    struct target *t = xcalloc(1, sizeof(*t));
    t->client = client;
    t->config = config;
    snprintf(t->node, sizeof(t->node), "%s", node);
    url_put_public(&url, slice_str(config->type_delegation_target));
    t->public_url = sbuf_take(&url, NULL);
    t->reason = xstrdup("it has not been checked yet");
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    t->since_us = t->started_us = clock_us();
    return t;
}

void target_may_be_down(struct target *t)
{
    t->may_be_down = true;
}

void target_on_found(struct target *t, target_found_fn *found, void *ctx)
{
    t->found_fn = found;
    t->found_ctx = ctx;
}

void target_start(struct target *t, target_failed_fn *failed, void *ctx)
{
    t->failed_fn = failed;
    t->failed_ctx = ctx;
    t->started_us = clock_us();
    if (strncasecmp(t->config->type_delegation_target, "http:", 5) == 0)
        log_message(LOG_LEVEL_INFO, "target.insecure",
                    "Warning - the Type Delegation url uses insecure http. https is recommended.");
    if (pthread_create(&t->thread, NULL, target_main, t) != 0)
        abort();
    t->has_thread = true;
}

void target_stop(struct target *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_broadcast(&t->changed);
    answer_waiters(t);
    pthread_mutex_unlock(&t->lock);
    http_client_cancel(t->client);
    if (t->has_thread)
        pthread_join(t->thread, NULL);
    t->has_thread = false;
}

void target_free(struct target *t)
{
    if (!t)
        return;
    target_stop(t);
    http_client_free(t->client);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    err_clear(&t->failure);
    free(t->reason);
    free(t->public_url);
    free(t);
}

const char *target_url(const struct target *t)
{
    return t->public_url;
}

bool target_failed(struct target *t, struct err *err)
{
    pthread_mutex_lock(&t->lock);
    bool failed = t->failure.code != ERR_NONE;
    if (failed)
        err_set(err, t->failure.code, "%s", err_text(&t->failure));
    pthread_mutex_unlock(&t->lock);
    return failed;
}

bool target_settled(struct target *t)
{
    pthread_mutex_lock(&t->lock);
    bool settled = t->settled && t->state != TARGET_REFUSED;
    pthread_mutex_unlock(&t->lock);
    return settled;
}

/* ---- for calls ---- */

bool target_is_probe(struct target *t, struct slice type_name)
{
    const size_t prefix = sizeof(PROBE_PREFIX) - 1, suffix = sizeof(PROBE_SUFFIX) - 1;

    if (type_name.n != prefix + RANDOM_ID_HEX + suffix || memcmp(type_name.p, PROBE_PREFIX, prefix) != 0)
        return false;
    pthread_mutex_lock(&t->lock);
    bool ours = t->probe[0] && memcmp(type_name.p + prefix, t->probe, RANDOM_ID_HEX) == 0;
    t->probe_came_back = t->probe_came_back || ours;
    pthread_mutex_unlock(&t->lock);
    return ours;
}

static void want_check(struct target *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->wanted) {
        t->wanted = true;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}

void target_saw_loop(struct target *t)
{
    want_check(t);
}

void target_note(struct target *t, const char *address, bool answered)
{
    pthread_mutex_lock(&t->lock);
    bool news = (address[0] && add_address(t, address)) || answered != (t->state == TARGET_OK);
    pthread_mutex_unlock(&t->lock);
    if (news)
        want_check(t);
}

/* ---- for people and other nodes ---- */

void target_cluster(struct target *t, char ret_cluster[HOPS_ID_LEN + 1])
{
    pthread_mutex_lock(&t->lock);
    memcpy(ret_cluster, t->identity.cluster[0] ? t->identity.cluster : no_cluster, HOPS_ID_LEN + 1);
    pthread_mutex_unlock(&t->lock);
}

static void put_chain(const struct identity *identity, struct sbuf *json)
{
    sbuf_addc(json, '[');
    if (identity->node[0])
        sbuf_addf(json, "\"%s\"", identity->node);
    for (size_t i = 0; i < identity->chain.count && i < HOPS_MAX - 1; i++)
        sbuf_addf(json, ",\"%s\"", identity->chain.nodes[i]);
    sbuf_addc(json, ']');
}

void target_put_description(struct target *t, struct sbuf *json)
{
    pthread_mutex_lock(&t->lock);
    const char *cluster = t->identity.cluster;
    sbuf_addf(json, "\"cluster\":%s%s%s,\"read_only\":%d,\"target\":", cluster[0] ? "\"" : "",
              cluster[0] ? cluster : "null", cluster[0] ? "\"" : "", t->identity.read_only ? 1 : 0);
    json_put_str(json, t->public_url);
    sbuf_addf(json, ",\"hops\":%d,\"chain\":", t->identity.hops + 1);
    put_chain(&t->identity, json);
    sbuf_addf(json, ",\"chain_complete\":%s",
              t->state == TARGET_OK && t->identity.complete ? "true" : "false");
    pthread_mutex_unlock(&t->lock);
}

static void put_trouble(const struct target *t, struct sbuf *out)
{
    sbuf_addf(out, "the delegation target (type-delegation-target) is %s: %s",
              t->state == TARGET_CHECKING ? "not found yet" : state_name(t->state), t->reason);
}

bool target_ready(struct target *t, struct sbuf *reasons)
{
    AUTO_SBUF(text, 2 * MAX_TEXT);

    pthread_mutex_lock(&t->lock);
    bool ready = t->state == TARGET_OK;
    if (!ready) {
        put_trouble(t, &text);
        json_put_string(reasons, sbuf_slice(&text));
    }
    pthread_mutex_unlock(&t->lock);
    return ready;
}

bool target_put_dependency(struct target *t, struct sbuf *json)
{
    AUTO_SBUF(text, 2 * MAX_TEXT);

    pthread_mutex_lock(&t->lock);
    bool fine = t->state == TARGET_OK;
    if (fine)
        sbuf_adds(&text, "OK");
    else
        put_trouble(t, &text);
    sbuf_addf(json,
              "{\"state\":\"%s\",\"name\":\"Type delegation target\",\"message\":", fine ? "OK" : "Fail");
    json_put_string(json, sbuf_slice(&text));
    sbuf_adds(json, ",\"version\":");
    json_put_str(json, t->identity.version[0] ? t->identity.version : "Unknown");
    sbuf_addc(json, '}');
    pthread_mutex_unlock(&t->lock);
    return fine;
}

static double seconds_since(uint64_t us)
{
    return us ? (double)(clock_us() - us) / (double)SECOND : -1;
}

void target_put_status(struct target *t, struct sbuf *json)
{
    pthread_mutex_lock(&t->lock);
    sbuf_adds(json, "\"url\":");
    json_put_str(json, t->public_url);
    sbuf_addf(json, ",\"state\":\"%s\",\"state_s\":%.1f,\"reason\":", state_name(t->state),
              seconds_since(t->since_us));
    if (t->state == TARGET_OK)
        sbuf_adds(json, "null");
    else
        json_put_str(json, t->reason);
    sbuf_addf(json, ",\"role\":\"%s\",", identity_kind_name(t->identity.kind));
    sbuf_addf(json, "\"cluster\":\"%s\",\"chain\":", t->identity.cluster);
    put_chain(&t->identity, json);
    sbuf_addf(json, ",\"checks\":%llu,\"checked_s\":", (unsigned long long)t->checks);
    if (t->checked_us)
        sbuf_addf(json, "%.1f", seconds_since(t->checked_us));
    else
        sbuf_adds(json, "null");
    sbuf_addf(json, ",\"addresses\":%zu", t->address_count);
    pthread_mutex_unlock(&t->lock);
}
