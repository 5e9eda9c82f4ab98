#include "tws/registry/includes.h"

#include <inttypes.h>

#include "shared/base/javahash.h"

struct resolver {
    struct plan *plan;
    struct includes *includes;
    const struct rec_include *dependencies;
    size_t dependency_count;
};

/* What is to be visited next: a stack in the form of a list, so that depth costs no C stack. */
struct pending {
    struct pending *next;
    const struct include *parent;
    size_t depth;
    struct slice module;
    int64_t version;
};

const struct include *includes_find(const struct includes *includes, struct slice module)
{
    for (const struct include *i = includes->first; i; i = i->next)
        if (slice_eq(i->module, module))
            return i;
    return NULL;
}

int includes_text(void *ctx, struct slice name, struct slice *ret_text, struct err *err UNUSED)
{
    const struct include *include = includes_find(ctx, name);

    if (!include)
        return -ERR_NO_MODULE;
    *ret_text = include->text;
    return 0;
}

static const struct rec_include *find_dependency(const struct resolver *r, struct slice module)
{
    for (size_t i = r->dependency_count; i-- > 0;)
        if (slice_eq(r->dependencies[i].module, module))
            return &r->dependencies[i];
    return NULL;
}

static void put_step(struct sbuf *path, struct slice module, int64_t version)
{
    sbuf_add_slice(path, module);
    sbuf_addf(path, "(%" PRId64 ")<-", version);
}

/* Innermost first: `Common(12)<-Middle(34)<-RootModule` */
static void put_path(struct sbuf *path, struct slice module, int64_t version, const struct include *parent)
{
    put_step(path, module, version);
    for (; parent; parent = parent->parent)
        put_step(path, parent->module, parent->version->version);
    sbuf_adds(path, "RootModule");
}

static int refuse_restricted(const struct pending *p, int64_t wanted, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Version of dependent module ");
    put_path(&text, p->module, p->version, p->parent);
    sbuf_addf(&text, " is not compatible with module version restriction: %" PRId64, wanted);
    return err_set_text(err, ERR_SPEC, sbuf_slice(&text));
}

static int refuse_second(const struct pending *p, const struct include *earlier, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Incompatible module dependecies: ");
    put_path(&text, earlier->module, earlier->version->version, earlier->parent);
    sbuf_adds(&text, " and ");
    put_path(&text, p->module, p->version, p->parent);
    return err_set_text(err, ERR_SPEC, sbuf_slice(&text));
}

/* What the module was compiled with goes on top of the stack, in the order of the Java map that upstream
 * reads it into. */
static void push_children(struct resolver *r, const struct pending *p, const struct include *include,
                          struct pending **stack)
{
    const struct cat_version *v = include->version;
    struct slice *keys = arena_alloc(r->plan->arena, (v->include_count + 1) * sizeof(*keys));
    size_t *order = arena_alloc(r->plan->arena, (v->include_count + 1) * sizeof(*order));

    for (size_t i = 0; i < v->include_count; i++)
        keys[i] = v->includes[i].module;
    java_hash_order(keys, v->include_count, 16, order);
    for (size_t i = v->include_count; i-- > 0;) {
        const struct rec_include *inner = &v->includes[order[i]];
        const struct include *earlier = includes_find(r->includes, inner->module);
        if (earlier && earlier->version->version == inner->version)
            continue;
        struct pending *child = arena_alloc(r->plan->arena, sizeof(*child));
        *child = (struct pending){ *stack, include, p->depth + 1, inner->module, inner->version };
        *stack = child;
    }
}

static int visit(struct resolver *r, const struct pending *p, struct pending **stack, struct err *err)
{
    const struct kidl_limits *limits = r->plan->limits;
    const struct cat_module *module = plan_module(r->plan, p->module);
    const struct cat_version *version = module ? cat_find_version(module, p->version) : NULL;
    const struct rec_include *wanted = find_dependency(r, p->module);
    const struct include *earlier = includes_find(r->includes, p->module);

    if (!version)
        return FAIL(
            err, ERR_STORE,
            SLICE("Unexpected error during spec-file parsing: Info-record was not found for module: "),
            p->module);
    if (wanted && wanted->version != p->version)
        return refuse_restricted(p, wanted->version, err);
    if (earlier)
        return earlier->version == version ? 0 : refuse_second(p, earlier, err);
    if (p->depth > limits->max_include_depth || r->includes->count >= limits->max_includes)
        return err_set(
            err, ERR_LIMIT,
            "Unexpected error during spec-file parsing: more than %zu included modules, or more than "
            "%zu deep",
            limits->max_includes, limits->max_include_depth);
    struct include *include = arena_zalloc(r->plan->arena, sizeof(*include));
    include->parent = p->parent;
    include->module = module->name;
    include->version = version;
    int found =
        version->has_spec ? plan_spec(r->plan, module->name, version->version, &include->text, err) : 0;
    if (found < 0)
        return found;
    if (!found)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module wasn't uploaded: "), p->module);
    *r->includes->end = include;
    r->includes->end = &include->next;
    r->includes->count++;
    push_children(r, p, include, stack);
    return 0;
}

/* Without a dependency it is the released version, for owners too. */
static int direct_version(struct resolver *r, struct slice name, int64_t *ret_version, struct err *err)
{
    const struct rec_include *wanted = find_dependency(r, name);

    if (wanted) {
        *ret_version = wanted->version;
        return 0;
    }
    const struct cat_module *module = plan_module(r->plan, name);
    if (!module)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module doesn't exist: "), name);
    int rc = need_registered(module, name, err);
    if (rc == 0)
        rc = need_supported(module, err);
    if (rc == 0)
        *ret_version = module->released;
    return rc;
}

static void add_direct(struct includes *includes, struct slice name, int64_t version)
{
    for (size_t i = 0; i < includes->direct_count; i++)
        if (slice_eq(includes->direct[i].module, name))
            return;
    includes->direct[includes->direct_count++] = (struct rec_include){ name, version };
}

int includes_resolve(struct plan *plan, const struct slice *names, size_t count,
                     const struct rec_include *dependencies, size_t dependency_count,
                     struct includes *ret_includes, struct err *err)
{
    struct resolver r = { plan, ret_includes, dependencies, dependency_count };

    *ret_includes = (struct includes){ .end = &ret_includes->first };
    ret_includes->direct = arena_alloc(plan->arena, (count + 1) * sizeof(*ret_includes->direct));
    if (count > plan->limits->max_includes)
        return err_set(err, ERR_LIMIT,
                       "Unexpected error during spec-file parsing: more than %zu included modules",
                       plan->limits->max_includes);
    for (size_t i = 0; i < count; i++) {
        struct pending direct = { .depth = 1, .module = names[i] }, *stack = &direct;
        int rc = direct_version(&r, names[i], &direct.version, err);
        while (rc == 0 && stack) {
            struct pending *p = stack;
            stack = p->next;
            rc = visit(&r, p, &stack, err);
        }
        if (rc)
            return rc;
        add_direct(ret_includes, names[i], direct.version);
    }
    return 0;
}
