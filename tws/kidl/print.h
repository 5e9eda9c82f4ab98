/*
 * print: the texts that the graph is turned into; private to tws/kidl.
 *
 * Both printers can measure instead of print: then a typedef inside counts with its stored size and is not
 * expanded, so that measuring is linear in the spec although printing is not.
 */
#ifndef TWS_KIDL_PRINT_H
#define TWS_KIDL_PRINT_H

#include "tws/kidl/ast.h"

/* Sizes stay below this, so that sums of them cannot overflow. */
#define SIZE_CEILING ((uint64_t)1 << 48)

static inline uint64_t size_bounded(uint64_t size)
{
    return size < SIZE_CEILING ? size : SIZE_CEILING;
}

/* Compact tree: S-form of fresh nodes, R-form of loaded ones. */
void tree_put(const struct kidl_node *node, struct sbuf *out);
void tree_put_module(const struct module *module, struct sbuf *out);
uint64_t tree_module_size(const struct module *module);
/* Fills node->measures of a fresh typedef or function. The typedefs in it are measured already. */
void node_measure(struct kidl_node *node);

/* schema.c: sizes of the schema of a typedef. */
void schema_measure(const struct kidl_node *typedef_node, struct measures *ret);

#endif
