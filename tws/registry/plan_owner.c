#include "tws/registry/plan.h"

/* Requests of a user that may be pending at one time. */
enum { MAX_REQUESTS = 30 };

static void add_owner_change(struct plan *plan, enum change_kind kind, struct slice module, struct slice user,
                             bool can_grant)
{
    struct change *c = change_set_add(&plan->set, kind);

    c->owner = (struct rec_owner){ arena_slice(plan->arena, module), plan_java_bytes(plan, user), can_grant };
}

int plan_request(struct plan *plan, void *ctx, struct err *err)
{
    const struct request_ctx *in = ctx;
    const struct catalogue *cat = plan->cat;
    const struct cat_module *module = plan_module(plan, in->module);
    const struct cat_version *released = module ? cat_released(module) : NULL;
    size_t mine = 0;
    bool requested = false;

    if (module && module->supported && released && released->has_spec)
        return FAIL(err, ERR_ARGUMENT, in->module, SLICE(" module already exists"));
    int rc = name_check(in->module, in->module.p == NULL, "Module name", err);
    if (rc)
        return rc;
    plan->module = in->module;
    plan->watch_requests = true;
    for (size_t i = 0; i < cat->request_count; i++) {
        mine += slice_is(cat->requests[i].user, in->user);
        requested |= slice_eq(cat->requests[i].module, in->module);
    }
    if (mine >= MAX_REQUESTS)
        return FAIL(err, ERR_STORE, SLICE("User "), slice_str(in->user),
                    SLICE(" has maximal count of requests: 30"));
    if (requested)
        return FAIL(err, ERR_STORE, SLICE("Registration of module "), in->module,
                    SLICE(" was already requested"));
    if (module)
        return FAIL(err, ERR_STORE, SLICE("Module "), in->module, SLICE(" was already registered"));
    add_owner_change(plan, CHANGE_ADD_REQUEST, in->module, slice_str(in->user), true);
    return 0;
}

static int find_request(struct plan *plan, struct slice module, const struct rec_owner **ret_request,
                        struct err *err)
{
    const struct catalogue *cat = plan->cat;

    plan->module = module;
    plan->watch_requests = true;
    for (size_t i = 0; module.p && i < cat->request_count; i++) {
        if (slice_eq(cat->requests[i].module, module)) {
            *ret_request = &cat->requests[i];
            return 0;
        }
    }
    return FAIL(err, ERR_STORE, SLICE("There is no request for module "), or_null(module));
}

int plan_approve(struct plan *plan, void *ctx, struct err *err)
{
    const struct request_ctx *in = ctx;
    const struct rec_owner *request;
    int rc = find_request(plan, in->module, &request, err);

    if (rc)
        return rc;
    if (plan_module(plan, in->module))
        return FAIL(err, ERR_STORE, SLICE("Module "), in->module, SLICE(" was already registered"));
    struct slice name = arena_slice(plan->arena, in->module);
    int64_t version = plan_draw_version(plan, name, 0);
    struct change *info = change_set_add(&plan->set, CHANGE_ADD_INFO);
    info->info = (struct rec_info){ .module = name, .version = version, .first = true, .released = true };
    /* owners from a time before the module must not come back with it */
    for (const struct stray_owner *s = plan->strays->first; s; s = s->next)
        if (slice_eq(s->owner.module, name))
            add_owner_change(plan, CHANGE_DROP_OWNER, name, s->owner.user, false);
    add_owner_change(plan, CHANGE_PUT_OWNER, name, request->user, true);
    struct change *pointers = change_set_add(&plan->set, CHANGE_ADD_MODULE);
    pointers->pointers = (struct rec_pointers){ name, version, version, true };
    add_owner_change(plan, CHANGE_DROP_REQUESTS, name, request->user, true);
    return 0;
}

int plan_deny(struct plan *plan, void *ctx, struct err *err)
{
    const struct request_ctx *in = ctx;
    const struct rec_owner *request;
    int rc = find_request(plan, in->module, &request, err);

    if (rc)
        return rc;
    add_owner_change(plan, CHANGE_DROP_REQUESTS, in->module, request->user, true);
    return 0;
}

/* A user needs the grant option; administrators are not asked, so for them *ret_module may be NULL. */
static int may_change_owners(struct plan *plan, const struct owner_ctx *in,
                             const struct cat_module **ret_module, struct err *err)
{
    const struct cat_module *module = plan_module(plan, in->module);
    int rc = in->user ? need_owner(module, in->module, in->user, true, err) : 0;

    plan->module = in->module;
    if (rc == 0 && module)
        rc = need_sound(module, err);
    if (rc == 0)
        *ret_module = module;
    return rc;
}

int plan_grant(struct plan *plan, void *ctx, struct err *err)
{
    const struct owner_ctx *in = ctx;
    const struct cat_module *module;
    int rc = may_change_owners(plan, in, &module, err);

    if (rc)
        return rc;
    if (!module)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module doesn't exist: "), or_null(in->module));
    if (in->owner.n == 0)
        return err_set(err, ERR_ARGUMENT, "The new owner cannot be null or the empty string");
    add_owner_change(plan, CHANGE_PUT_OWNER, module->name, in->owner, in->can_grant);
    return 0;
}

int plan_remove_owner(struct plan *plan, void *ctx, struct err *err)
{
    const struct owner_ctx *in = ctx;
    const struct cat_module *module;
    int rc = may_change_owners(plan, in, &module, err);

    if (rc)
        return rc;
    if (module && in->owner.p && cat_find_owner(module, plan_java_bytes(plan, in->owner)))
        add_owner_change(plan, CHANGE_DROP_OWNER, module->name, in->owner, false);
    return 0;
}
