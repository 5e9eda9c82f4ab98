#include "tws/registry/plan.h"

#include <inttypes.h>

#include "shared/base/clock.h"
#include "shared/base/utf.h"

int fail_parts(struct err *err, enum err_code code, const struct slice *parts, size_t count)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < count; i++)
        sbuf_add_slice(&text, parts[i]);
    return err_set_text(err, code, sbuf_slice(&text));
}

const struct cat_module *plan_module(struct plan *plan, struct slice name)
{
    const struct cat_module *module = name.p ? cat_find_module(plan->cat, name) : NULL;
    struct watch *watch;

    if (!name.p)
        return NULL;
    for (watch = plan->watches; watch; watch = watch->next)
        if (slice_eq(watch->module, name))
            return module;
    watch = arena_alloc(plan->arena, sizeof(*watch));
    *watch = (struct watch){ plan->watches, arena_slice(plan->arena, name), module != NULL,
                             module ? module->epoch : 0 };
    plan->watches = watch;
    struct rec_pointers pointers = { .module = watch->module };
    if (module) {
        pointers.last = module->stored_last;
        pointers.released = module->stored_released;
        pointers.supported = module->supported;
    }
    change_set_expect(&plan->set, module != NULL, &pointers);
    return module;
}

bool plan_holds(const struct plan *plan, const struct catalogue *now)
{
    if (plan->watch_requests && now->requests_epoch != plan->cat->requests_epoch)
        return false;
    for (const struct watch *w = plan->watches; w; w = w->next) {
        const struct cat_module *module = cat_find_module(now, w->module);
        if ((module != NULL) != w->exists || (module && module->epoch != w->epoch))
            return false;
    }
    return true;
}

int64_t plan_draw_version(struct plan *plan, struct slice module, int64_t last)
{
    return versions_draw(plan->versions, module, last, clock_wall_ms());
}

static int read_text(struct plan *plan, const struct text_key *key, struct slice *ret_text, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    int found = store_read_text(plan->store, key, &text, err);

    if (found > 0)
        *ret_text = arena_slice(plan->arena, sbuf_slice(&text));
    return found;
}

int plan_text(struct plan *plan, enum text_kind kind, struct slice module, struct slice name,
              struct semver version, struct slice *ret_text, struct err *err)
{
    const struct text_key key = { .kind = kind, .module = module, .name = name, .version = version };

    return read_text(plan, &key, ret_text, err);
}

int plan_spec(struct plan *plan, struct slice module, int64_t version, struct slice *ret_text,
              struct err *err)
{
    const struct text_key key = { .kind = TEXT_SPEC, .module = module, .module_version = version };

    return read_text(plan, &key, ret_text, err);
}

int plan_need_text(struct plan *plan, enum text_kind kind, struct slice module, struct slice name,
                   struct semver version, struct slice *ret_text, struct err *err)
{
    static const char *const what[] = {
        [TEXT_SCHEMA] = "Type schema",
        [TEXT_TYPE_PARSE] = "Type parse",
        [TEXT_FUNC_PARSE] = "Function parse",
    };
    int found = plan_text(plan, kind, module, name, version, ret_text, err);

    if (found > 0)
        return 0;
    if (found < 0)
        return found;
    const char *number = arena_printf(plan->arena, ".%d.%d", version.major, version.minor);
    return FAIL(err, ERR_STORE, slice_str(what[kind]), SLICE(" record was not found for "), module,
                SLICE("."), name, slice_str(number));
}

struct slice plan_java_bytes(struct plan *plan, struct slice text)
{
    AUTO_SBUF(bytes, SBUF_NO_LIMIT);

    utf_put_java_bytes(text, &bytes);
    return arena_slice(plan->arena, sbuf_slice(&bytes));
}

/* ---- guards ---- */

int need_registered(const struct cat_module *module, struct slice name, struct err *err)
{
    if (!module)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module "), or_null(name),
                    SLICE(" was not initialized. For that you must request ownership of the module, and your "
                          "request must be "
                          "approved."));
    if (!cat_released(module))
        return FAIL(err, ERR_NO_MODULE, SLICE("Module wasn't uploaded: "), name);
    return 0;
}

int need_supported(const struct cat_module *module, struct err *err)
{
    if (!module->supported)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module "), module->name, SLICE(" is no longer supported"));
    return 0;
}

int need_owner(const struct cat_module *module, struct slice name, const char *user, bool grant,
               struct err *err)
{
    const struct cat_owner *owner = module ? cat_find_owner(module, slice_str(user)) : NULL;

    if (!owner)
        return FAIL(err, ERR_PRIVILEGE, SLICE("User "), slice_str(user),
                    SLICE(" is not in list of owners of module "), or_null(name));
    if (grant && !owner->can_grant)
        return FAIL(err, ERR_PRIVILEGE, SLICE("User "), slice_str(user),
                    SLICE(" can not change privileges for module "), name);
    return 0;
}

int need_sound(const struct cat_module *module, struct err *err)
{
    if (module->damaged)
        return FAIL(err, ERR_STORE, SLICE("Module "), module->name,
                    SLICE(" can only be read, because its records in the type database are damaged: "),
                    module->damage, SLICE(". `wstyped fsck` tells more and mends what it can"));
    return 0;
}
