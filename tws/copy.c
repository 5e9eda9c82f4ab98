#include "tws/copy.h"

#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/utf.h"
#include "shared/rpc/worker.h"
#include "tws/answers.h"
#include "tws/app.h"
#include "tws/methods.h"

enum {
    COPY_THREADS = 2,
    COPY_WAITING = 256,
    MAX_INCLUDES = 200,
    MAX_ANSWER = 64 << 20,
    CONNECT_US = 10 * 1000 * 1000,
};

struct copies {
    const struct config *config;
    struct workers *workers;
    pthread_mutex_t lock; /* guards what follows, and the members of copies that say so */
    struct copy *first;
    bool draining;
};

/*
 * One copy on its way.  It outlives its call when that is ended by draining while another server is still
 * being asked; then whoever gets the answer frees it.
 */
struct copy {
    struct copies *copies;
    struct copy *prev, *next; /* under the lock */
    struct call *call;        /* under the lock; NULL once it was finished */
    bool working;             /* under the lock; a thread works on it, so draining leaves it alone */

    struct tws *tws;
    struct arena arena;
    const char *url, *host, *user, *token; /* token: NULL if it must not be sent */
    bool listed;
    struct slice module;
    bool has_version;
    int64_t version;
    uint64_t deadline_us;

    int status;
    struct spool *answer;
    bool has_remote;
    struct copy_module remote;
    size_t asked;       /* includes whose content is known */
    struct slice *md5s; /* of the includes */
};

struct copies *copies_new(const struct config *config, struct err *err)
{
    struct copies *copies = xcalloc(1, sizeof(*copies));

    copies->config = config;
    copies->workers = workers_new(COPY_THREADS, COPY_WAITING, err);
    if (!copies->workers) {
        free(copies);
        return NULL;
    }
    pthread_mutex_init(&copies->lock, NULL);
    return copies;
}

void copies_free(struct copies *copies)
{
    if (!copies)
        return;
    workers_free(copies->workers);
    pthread_mutex_destroy(&copies->lock);
    free(copies);
}

/* ---- the list of copies ---- */

static void unlink_copy(struct copy *copy)
{
    if (copy->prev)
        copy->prev->next = copy->next;
    else
        copy->copies->first = copy->next;
    if (copy->next)
        copy->next->prev = copy->prev;
}

static int set_draining(struct err *err)
{
    return err_set(err, ERR_NOT_STARTED, "The server is shutting down");
}

/* The copy belongs to the list's readers as soon as this returns. */
static int link_copy(struct copy *copy, struct err *err)
{
    struct copies *copies = copy->copies;

    pthread_mutex_lock(&copies->lock);
    bool draining = copies->draining;
    if (!draining) {
        copy->next = copies->first;
        if (copies->first)
            copies->first->prev = copy;
        copies->first = copy;
    }
    pthread_mutex_unlock(&copies->lock);
    return draining ? set_draining(err) : 0;
}

static void free_copy(struct copy *copy)
{
    spool_free(copy->answer);
    arena_release(&copy->arena);
    free(copy);
}

/* Ends the call, if that was not done yet, and the copy. */
static void finish(struct copy *copy, int rc, struct sbuf *result, struct err *err)
{
    pthread_mutex_lock(&copy->copies->lock);
    struct call *call = TAKE(copy->call);
    if (call)
        unlink_copy(copy);
    pthread_mutex_unlock(&copy->copies->lock);
    if (call)
        call_finish(call, rc, result, err);
    else if (result)
        sbuf_release(result);
    free_copy(copy);
}

/* False if the call is gone; the caller then frees the copy. */
static bool start_working(struct copy *copy)
{
    pthread_mutex_lock(&copy->copies->lock);
    bool alive = copy->call != NULL;
    copy->working = alive;
    pthread_mutex_unlock(&copy->copies->lock);
    return alive;
}

static int stop_working(struct copy *copy, struct err *err)
{
    pthread_mutex_lock(&copy->copies->lock);
    bool draining = copy->copies->draining;
    copy->working = draining;
    pthread_mutex_unlock(&copy->copies->lock);
    return draining ? set_draining(err) : 0;
}

static struct call *take_waiting_call(struct copies *copies)
{
    struct call *call = NULL;

    pthread_mutex_lock(&copies->lock);
    copies->draining = true;
    for (struct copy *copy = copies->first; copy && !call; copy = copy->next) {
        if (copy->working)
            continue;
        call = TAKE(copy->call);
        unlink_copy(copy);
    }
    pthread_mutex_unlock(&copies->lock);
    return call;
}

void copies_drain(struct copies *copies)
{
    struct call *call;

    while ((call = take_waiting_call(copies)) != NULL) {
        AUTO_ERR(err);
        call_finish(call, set_draining(&err), NULL, &err);
    }
}

/* ---- asking the other server ---- */

static void answered(void *ctx, struct http_result *result);

static void ask(struct copy *copy, struct slice module, bool has_version, int64_t version)
{
    const struct config *config = copy->copies->config;
    struct sbuf body = SBUF_INIT(1 << 20);
    struct http_field fields[3] = { { "Content-Type", "application/json" },
                                    { "Accept", "application/json" } };
    size_t field_count = 2;
    uint64_t now = clock_us(), left = copy->deadline_us > now ? copy->deadline_us - now : 1;
    uint64_t limit = (uint64_t)config->typespec_copy_timeout;

    sbuf_adds(&body, "{\"version\":\"1.1\",\"method\":\"Workspace.get_module_info\",\"params\":[{\"mod\":");
    json_put_string(&body, module);
    if (has_version) {
        sbuf_adds(&body, ",\"ver\":");
        answer_put_int(&body, version);
    }
    sbuf_adds(&body, "}],\"id\":\"1\"}");
    if (copy->token)
        fields[field_count++] = (struct http_field){ "Authorization", copy->token };
    if (limit > left)
        limit = left;

    struct http_send send = {
        .verb = "POST",
        .url = copy->url,
        .field_count = field_count,
        .fields = fields,
        .part_count = 1,
        .parts = { arena_slice(&copy->arena, sbuf_slice(&body)) },
        .connect_us = limit < CONNECT_US ? limit : CONNECT_US,
        .first_byte_us = limit,
        .total_us = limit,
        .answer = { (size_t)config->body_memory, MAX_ANSWER, config->temp_dir },
        .flags = HTTP_FRESH | (copy->listed ? 0 : HTTP_PUBLIC_ONLY),
        .done = answered,
        .ctx = copy,
    };
    sbuf_release(&body);
    http_send(service_client(copy->tws->service), &send);
}

/* ---- registering here ---- */

/* The oldest released version of the local module with the same content. */
static int find_local(const struct catalogue *cat, const struct copy_include *include, struct slice md5,
                      struct rec_include *ret_local, struct err *err)
{
    const struct cat_module *module;
    int rc = registry_need_module(cat, include->module, &module, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < module->version_count; i++) {
        const struct cat_version *version = module->versions[i];
        if (version->first || !cat_effectively_released(module, version) || !slice_eq(version->md5, md5))
            continue;
        *ret_local = (struct rec_include){ include->module, version->version };
        return 0;
    }
    return err_set(err, ERR_NO_MODULE,
                   "Can not find local module %.*s synchronized with external version %lld (md5=%.*s)",
                   (int)include->module.n, include->module.p, (long long)include->version, (int)md5.n, md5.p);
}

static int compare_names(const void *x, const void *y)
{
    const struct slice *a = x, *b = y;
    size_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->p, b->p, n) : 0;

    return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* Types that only one side supports; what was removed here counts as not being here. */
static void compare_types(struct copy *copy, const struct cat_version *local, struct registry_change *change)
{
    struct copy_module *remote = &copy->remote;
    struct slice *add = arena_alloc(&copy->arena, (remote->type_count + 1) * sizeof(*add));
    struct slice *removed =
        arena_alloc(&copy->arena, ((local ? local->type_count : 0) + 1) * sizeof(*removed));

    qsort(remote->types, remote->type_count, sizeof(*remote->types), compare_names);
    for (size_t i = 0; i < remote->type_count; i++) {
        const struct rec_entry *entry = local ? cat_version_type(local, remote->types[i]) : NULL;
        bool again = i > 0 && slice_eq(remote->types[i - 1], remote->types[i]);
        if (!again && (!entry || !entry->supported))
            add[change->add_count++] = remote->types[i];
    }
    for (size_t i = 0; local && i < local->type_count; i++)
        if (local->types[i].supported && !bsearch(&local->types[i].name, remote->types, remote->type_count,
                                                  sizeof(*remote->types), compare_names))
            removed[change->remove_count++] = local->types[i].name;
    change->add = add;
    change->remove = removed;
}

static int check_owner(const struct catalogue *cat, const char *user, struct slice name,
                       const struct cat_module **ret_module, struct err *err)
{
    int rc = registry_need_module(cat, name, ret_module, err);

    return rc < 0 ? rc : registry_need_owner(cat, user, name, false, err);
}

static int plan(struct copy *copy, const struct catalogue *cat, struct registry_change *change,
                struct err *err)
{
    size_t count = copy->remote.include_count;
    struct rec_include *local = arena_alloc(&copy->arena, (count + 1) * sizeof(*local));
    const struct cat_module *module;
    int rc = check_owner(cat, copy->user, copy->module, &module, err);

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = find_local(cat, &copy->remote.includes[i], copy->md5s[i], &local[i], err);
    if (rc < 0)
        return rc;
    change->dependencies = local;
    change->dependency_count = count;
    compare_types(copy, cat_last(module), change);
    return 0;
}

static int register_copy(struct copy *copy, struct sbuf *ret_result, struct err *err)
{
    struct registry_change change = { .user = copy->user, .module = copy->module, .spec = copy->remote.spec };
    struct registry_registered done;
    int rc = tws_need_lease(copy->tws, err);

    if (rc < 0)
        return rc;
    const struct catalogue *cat = registry_snapshot(copy->tws->registry);
    rc = plan(copy, cat, &change, err);
    if (rc == 0)
        rc = registry_register(copy->tws->registry, &change, &copy->arena, &done, err);
    catalogue_unref(cat);
    if (rc == 0)
        answer_put_int(ret_result, done.version);
    return rc;
}

/* ---- from answer to answer ---- */

static int read_answer(struct copy *copy, struct err *err)
{
    AUTO_ARENA(arena);
    bool first = !copy->has_remote;
    struct copy_module module;
    struct slice body;
    int rc = spool_bytes(copy->answer, &body, err);

    if (rc == 0)
        rc = copy_answer_read(copy->status, body, first ? &copy->arena : &arena, &module, err);
    if (rc < 0)
        return rc;
    if (!first) {
        copy->md5s[copy->asked++] = arena_slice(&copy->arena, module.md5);
        return 0;
    }
    if (module.include_count > MAX_INCLUDES)
        return err_set(err, ERR_LIMIT, "Module %.*s includes more than %d modules", (int)copy->module.n,
                       copy->module.p, MAX_INCLUDES);
    copy->has_remote = true;
    copy->remote = module;
    copy->md5s = arena_alloc(&copy->arena, (module.include_count + 1) * sizeof(*copy->md5s));
    return 0;
}

/* Returns CALL_LATER if another question was asked; then the copy may be gone. */
static int step(struct copy *copy, struct sbuf *ret_result, struct err *err)
{
    int rc = read_answer(copy, err);

    spool_free(TAKE(copy->answer));
    if (rc < 0)
        return rc;
    if (copy->asked == copy->remote.include_count)
        return register_copy(copy, ret_result, err);
    if (clock_us() >= copy->deadline_us)
        return err_set(err, ERR_TIMEOUT, "The copy took too long");
    if ((rc = stop_working(copy, err)) < 0)
        return rc;
    const struct copy_include *include = &copy->remote.includes[copy->asked];
    ask(copy, include->module, true, include->version);
    return CALL_LATER;
}

static void work(void *ctx)
{
    struct copy *copy = ctx;
    struct sbuf result = SBUF_INIT(1 << 20);
    AUTO_ERR(err);
    int rc = step(copy, &result, &err);

    if (rc != CALL_LATER)
        finish(copy, rc, &result, &err);
}

/* The client's texts begin in lower case, because elsewhere something stands before them. */
static int problem_of(const struct copy *copy, const struct http_result *result, struct err *err)
{
    const char *problem = result->problem && *result->problem ? result->problem : "no answer";
    char first = problem[0] >= 'a' && problem[0] <= 'z' ? (char)(problem[0] - 'a' + 'A') : problem[0];

    if (result->outcome == HTTP_ANSWER_TOO_BIG)
        return err_set(err, ERR_REMOTE,
                       "The answer of the external workspace service is larger than %d bytes", MAX_ANSWER);
    /* Java's exception about a host that is not known has its name and nothing else */
    if (result->no_host)
        return err_set(err, ERR_REMOTE, "%s", copy->host);
    return err_set(err, result->outcome == HTTP_TIMED_OUT ? ERR_TIMEOUT : ERR_REMOTE, "%c%s", first,
                   problem + 1);
}

/* On the HTTP client's thread. */
static void answered(void *ctx, struct http_result *result)
{
    struct copy *copy = ctx;
    AUTO_ERR(err);
    int rc = 0;

    if (!start_working(copy)) {
        free_copy(copy);
        return;
    }
    if (result->outcome == HTTP_ANSWERED) {
        copy->status = result->status;
        copy->answer = TAKE(result->body);
        rc = workers_run(copy->copies->workers, work, copy, &err);
    } else {
        rc = problem_of(copy, result, &err);
    }
    if (rc < 0)
        finish(copy, rc, NULL, &err);
}

/* ---- the method ---- */

static int check_place(const struct config *config, const struct copy_place *place, bool *ret_listed,
                       struct err *err)
{
    bool listed = copy_place_listed(place, &config->typespec_copy_hosts);

    if (!listed && !place->https)
        return err_set(err, ERR_ARGUMENT,
                       "Only https is allowed for host %.*s, because typespec-copy-hosts does not list it",
                       (int)place->host.n, place->host.p);
    *ret_listed = listed;
    return 0;
}

static int check_params(const struct register_typespec_copy_params *params, struct err *err)
{
    int rc = params_check_unexpected(&params->head, err);

    if (rc < 0)
        return rc;
    if (!params->external_workspace_url.given)
        return err_set(err, ERR_ARGUMENT, "Must provide a URL for an external workspace service");
    if (!params->mod.given)
        return err_set(err, ERR_ARGUMENT, "Must provide a module name");
    return 0;
}

static int check_here(struct tws *tws, const char *user, struct slice module, struct err *err)
{
    const struct catalogue *cat = registry_snapshot(tws->registry);
    const struct cat_module *found;
    int rc = check_owner(cat, user, module, &found, err);

    catalogue_unref(cat);
    return rc < 0 ? rc : tws_need_lease(tws, err);
}

static struct copy *new_copy(struct call *call, const struct register_typespec_copy_params *params,
                             struct slice host, bool listed)
{
    struct copy *copy = xcalloc(1, sizeof(*copy));
    struct slice url = utf_trim(params->external_workspace_url.text);

    copy->tws = tws_of(call);
    copy->copies = copy->tws->copies;
    copy->call = call;
    copy->url = arena_memdup(&copy->arena, url.p, url.n);
    copy->host = arena_memdup(&copy->arena, host.p, host.n);
    copy->user = arena_strdup(&copy->arena, call->user);
    copy->token = listed ? arena_memdup(&copy->arena, call->token.p, call->token.n) : NULL;
    copy->listed = listed;
    copy->module = arena_slice(&copy->arena, params->mod.text);
    copy->has_version = params->version.given;
    copy->version = params->version.value;
    copy->deadline_us = call->deadline_us;
    return copy;
}

int copy_run(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    struct tws *tws = tws_of(call);
    const struct register_typespec_copy_params *params = call->params[0].object;
    struct copy_place place;
    bool listed = false;
    int rc;

    if (!params)
        return methods_need_object(params, err);
    if ((rc = check_params(params, err)) < 0 ||
        (rc = copy_place_read(params->external_workspace_url.text, &call->arena, &place, err)) < 0 ||
        (rc = check_here(tws, call->user, params->mod.text, err)) < 0 ||
        (rc = check_place(tws->config, &place, &listed, err)) < 0)
        return rc;
    log_put(&call->notes, "module", params->mod.text);
    log_put(&call->notes, "from", place.host);
    struct copy *copy = new_copy(call, params, place.host, listed);
    if ((rc = link_copy(copy, err)) < 0) {
        free_copy(copy);
        return rc;
    }
    ask(copy, copy->module, copy->has_version, copy->version);
    return CALL_LATER;
}
