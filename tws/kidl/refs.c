#include "tws/kidl/ast.h"

struct walk {
    kidl_ref_fn *visit;
    void *ctx;
    struct err *err;
};

static bool is_over(const struct walk *w)
{
    return w->err->text != NULL;
}

static void walk_type(struct walk *w, const struct kidl_node *node)
{
    if (is_over(w))
        return;
    if (node->kind == NODE_TYPEDEF && (w->visit(w->ctx, node->module, node->name, w->err) || is_over(w)))
        return;
    if (node->inner)
        walk_type(w, node->inner);
    for (size_t i = 0; i < node->member_count; i++)
        walk_type(w, node->members[i].type);
}

int kidl_references(const struct kidl_node *node, kidl_ref_fn *visit, void *ctx, struct err *err)
{
    AUTO_ERR(own);
    struct walk w = { visit, ctx, &own };

    if (node->inner)
        walk_type(&w, node->inner);
    for (size_t i = 0; i < node->member_count; i++)
        walk_type(&w, node->members[i].type);
    for (size_t i = 0; i < node->result_count; i++)
        walk_type(&w, node->results[i].type);
    return own.text ? err_move(err, &own) : 0;
}
