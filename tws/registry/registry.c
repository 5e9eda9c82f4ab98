#include "tws/registry/registry.h"

#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "tws/registry/plan.h"
#include "tws/registry/queue.h"
#include "tws/registry/snapshot.h"

/* Lock order: the turn of a module, then the commit lock. */
struct registry {
    struct store *store; /* borrowed */
    int64_t fence;
    struct registry_options options;
    struct snapshot_table *table;
    struct versions *versions;
    struct queue *queue;
    struct strays strays;        /* constant after loading */
    pthread_mutex_t commit_lock; /* the store's writing side, and publishing */
};

/* ---- life ---- */

static int load(struct registry *reg, struct err *err)
{
    AUTO(builder_free_auto) struct builder *builder = builder_new(NULL, reg->versions, &reg->strays);
    struct store_sink sink;

    builder_sink(builder, &sink);
    int rc = store_load(reg->store, &sink, err);
    if (rc == 0)
        reg->table = snapshot_table_new(builder_finish(builder, 1));
    return rc;
}

int registry_open(struct store *store, int64_t fence, const struct registry_options *options,
                  struct registry **ret_reg, struct err *err)
{
    struct registry *reg = xcalloc(1, sizeof(*reg));

    reg->store = store;
    reg->fence = fence;
    reg->options = *options;
    reg->versions = versions_new();
    reg->queue = queue_new();
    pthread_mutex_init(&reg->commit_lock, NULL);
    int rc = load(reg, err);
    if (rc) {
        registry_close(reg);
        return rc;
    }
    *ret_reg = reg;
    return 0;
}

void registry_close(struct registry *reg)
{
    if (!reg)
        return;
    snapshot_table_close(reg->table);
    queue_free(reg->queue);
    versions_free(reg->versions);
    arena_release(&reg->strays.arena);
    pthread_mutex_destroy(&reg->commit_lock);
    free(reg);
}

const struct catalogue *registry_snapshot(struct registry *reg)
{
    return snapshot_take(reg->table);
}

static void put_damage(struct sbuf *json, size_t *n, struct slice module, struct slice what)
{
    sbuf_adds(json, (*n)++ ? ",{\"module\":" : "{\"module\":");
    json_put_string(json, module);
    sbuf_adds(json, ",\"what\":");
    json_put_string(json, what);
    sbuf_addc(json, '}');
}

void registry_put_damaged(struct registry *reg, const struct catalogue *cat, struct sbuf *json)
{
    size_t n = 0;

    for (size_t i = 0; i < cat->module_count; i++)
        if (cat->modules[i]->damaged)
            put_damage(json, &n, cat->modules[i]->name, cat->modules[i]->damage);
    for (const struct stray_damage *d = reg->strays.damage; d; d = d->next)
        put_damage(json, &n, d->module, d->what);
}

/* ---- committing ---- */

/* With the commit lock held and everything in order: the store first, then what readers see. */
static int write_and_publish(struct registry *reg, const struct plan *plan, const struct catalogue *now,
                             uint64_t deadline, struct err *err)
{
    AUTO(builder_free_auto) struct builder *builder = builder_new(now, NULL, NULL);
    unsigned slot;
    int rc = snapshot_reserve(reg->table, deadline, &slot, err);

    if (rc == 0)
        rc = store_commit(reg->store, &plan->set, reg->fence, err);
    if (rc)
        return rc;
    builder_apply(builder, &plan->set);
    snapshot_publish(reg->table, slot, builder_finish(builder, now->sequence + 1));
    return 0;
}

/* With the commit lock held: a commit that the store gave up was done after all, so all is read again. */
static int load_again(struct registry *reg, uint64_t sequence, uint64_t deadline, struct err *err)
{
    AUTO(builder_free_auto) struct builder *builder = builder_new(NULL, reg->versions, NULL);
    struct store_sink sink;
    unsigned slot;

    builder_sink(builder, &sink);
    int rc = snapshot_reserve(reg->table, deadline, &slot, err);
    if (rc == 0)
        rc = store_load(reg->store, &sink, err);
    if (rc == 0)
        snapshot_publish(reg->table, slot, builder_finish(builder, sequence));
    return rc;
}

/* -ERR_CONFLICT, without a text: something that the plan read has changed. */
static int commit(struct registry *reg, const struct plan *plan, uint64_t deadline, struct err *err)
{
    int rc = -ERR_CONFLICT;

    pthread_mutex_lock(&reg->commit_lock);
    const struct catalogue *now = registry_snapshot(reg);
    if (plan_holds(plan, now)) {
        rc = write_and_publish(reg, plan, now, deadline, err);
        if (rc == -ERR_CONFLICT) {
            /* we are the only writer, so this is about leftovers, and planning anew would end the same way */
            AUTO_ERR(conflict);
            err_move(&conflict, err);
            rc = FAIL(err, ERR_STORE, SLICE("The records of module "), plan->module,
                      SLICE(" in the type database do not allow this change: "),
                      slice_str(err_text(&conflict)));
        }
    }
    if (rc && atomic_load(&reg->store->outdated)) {
        err_clear(err);
        rc = load_again(reg, now->sequence + 1, deadline, err);
        rc = rc ? rc : -ERR_CONFLICT;
    }
    catalogue_unref(now);
    pthread_mutex_unlock(&reg->commit_lock);
    return rc;
}

struct attempt {
    plan_fn *make;
    void *ctx;
    void (*finish)(void *ctx, struct arena *arena); /* copies the result out of the attempt, or NULL */
    struct arena *result_arena;
};

static void plan_init(struct registry *reg, struct plan *plan, const struct catalogue *cat,
                      struct arena *arena)
{
    *plan = (struct plan){
        .store = reg->store,
        .versions = reg->versions,
        .limits = &reg->options.kidl,
        .strays = &reg->strays,
        .cat = cat,
        .arena = arena,
    };
    change_set_init(&plan->set, arena);
}

/*
 * One plan and one try to commit it.  A plan is first made without a turn, because the module's name is only
 * known once its spec is compiled; *turn is then taken, and kept for further attempts.
 */
static int try_once(struct registry *reg, const struct attempt *attempt, uint64_t deadline,
                    struct queue_turn **turn, struct err *err)
{
    struct arena arena = ARENA_INIT;
    const struct catalogue *cat = registry_snapshot(reg);
    struct plan plan;

    plan_init(reg, &plan, cat, &arena);
    int rc = attempt->make(&plan, attempt->ctx, err);
    if (rc == 0 && !plan.dry_run && plan.set.change_count) {
        if (!*turn)
            rc = queue_enter(reg->queue, plan.module, deadline, turn, err);
        if (rc == 0)
            rc = commit(reg, &plan, deadline, err);
    }
    if (rc == 0 && attempt->finish)
        attempt->finish(attempt->ctx, attempt->result_arena);
    catalogue_unref(cat);
    arena_release(&arena);
    return rc;
}

static int run(struct registry *reg, const struct attempt *attempt, struct err *err)
{
    uint64_t deadline = clock_us() + reg->options.queue_us;
    struct queue_turn *turn = NULL;
    AUTO_ERR(own);
    int rc;

    do {
        rc = try_once(reg, attempt, deadline, &turn, &own);
    } while (rc == -ERR_CONFLICT && clock_us() < deadline);
    if (rc == -ERR_CONFLICT)
        rc = err_set(&own, ERR_BUSY, "Other changes kept getting in the way of this one for too long");
    queue_leave(reg->queue, turn);
    if (rc)
        err_move(err, &own);
    return rc;
}

/* ---- the changes ---- */

int registry_request_module(struct registry *reg, const char *user, struct slice module, struct err *err)
{
    struct request_ctx ctx = { user, module };

    return run(reg, &(struct attempt){ .make = plan_request, .ctx = &ctx }, err);
}

int registry_approve(struct registry *reg, struct slice module, struct err *err)
{
    struct request_ctx ctx = { NULL, module };

    return run(reg, &(struct attempt){ .make = plan_approve, .ctx = &ctx }, err);
}

int registry_deny(struct registry *reg, struct slice module, struct err *err)
{
    struct request_ctx ctx = { NULL, module };

    return run(reg, &(struct attempt){ .make = plan_deny, .ctx = &ctx }, err);
}

int registry_grant(struct registry *reg, const char *user, struct slice module, struct slice new_owner,
                   bool can_grant, struct err *err)
{
    struct owner_ctx ctx = { user, module, new_owner, can_grant };

    return run(reg, &(struct attempt){ .make = plan_grant, .ctx = &ctx }, err);
}

int registry_remove_owner(struct registry *reg, const char *user, struct slice module, struct slice old_owner,
                          struct err *err)
{
    struct owner_ctx ctx = { user, module, old_owner, false };

    return run(reg, &(struct attempt){ .make = plan_remove_owner, .ctx = &ctx }, err);
}

static void finish_register(void *ctx, struct arena *arena)
{
    struct register_ctx *in = ctx;
    struct registry_schema *copy = arena_alloc(arena, (in->done.count + 1) * sizeof(*copy));

    for (size_t i = 0; i < in->done.count; i++) {
        const struct registry_schema *s = &in->done.schemas[i];
        copy[i] = (struct registry_schema){ arena_slice(arena, s->module), arena_slice(arena, s->name),
                                            s->version, arena_slice(arena, s->text) };
    }
    in->done.schemas = copy;
}

int registry_register(struct registry *reg, const struct registry_change *change, struct arena *arena,
                      struct registry_registered *ret_done, struct err *err)
{
    struct register_ctx ctx = { .change = change };
    int rc = run(reg, &(struct attempt){ plan_register, &ctx, finish_register, arena }, err);

    if (rc == 0)
        *ret_done = ctx.done;
    return rc;
}

static void finish_release(void *ctx, struct arena *arena)
{
    struct release_ctx *in = ctx;
    struct rec_entry *copy = arena_alloc(arena, (in->type_count + 1) * sizeof(*copy));

    for (size_t i = 0; i < in->type_count; i++) {
        copy[i] = in->types[i];
        copy[i].name = arena_slice(arena, in->types[i].name);
    }
    in->types = copy;
}

int registry_release(struct registry *reg, const char *user, struct slice module, struct arena *arena,
                     const struct rec_entry **ret_types, size_t *ret_count, struct err *err)
{
    struct release_ctx ctx = { .user = user, .module = module };
    int rc = run(reg, &(struct attempt){ plan_release, &ctx, finish_release, arena }, err);

    if (rc == 0) {
        *ret_types = ctx.types;
        *ret_count = ctx.type_count;
    }
    return rc;
}
