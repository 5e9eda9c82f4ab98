#include "tws/kidl/diag.h"
#include "tws/kidl/parse.h"

/* The current module hides an included one of its name. */
static const struct module *find_module(const struct document *d, struct slice name)
{
    if (!name.p || slice_eq(name, d->module->name))
        return d->module;
    return names_get(&d->modules, name);
}

int document_resolve(struct document *d, struct slice module_name, struct slice name,
                     const struct kidl_node **ret_node)
{
    const struct module *module = find_module(d, module_name);
    struct err *err = d->compiler->err;

    if (!module)
        return diag_place(err, d->last.place, DIAG(err, SLICE("Can not find module: "), module_name));
    const struct kidl_node *node = names_get(&module->types, name);
    if (!node)
        return diag_place(err, d->last.place,
                          DIAG(err, SLICE("Can not find type: "), module_name.p ? module_name : SLICE(""),
                               module_name.p ? SLICE(".") : SLICE(""), name));
    *ret_node = node;
    return 0;
}
