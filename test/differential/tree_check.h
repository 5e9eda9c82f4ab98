/*
 * tree_check: the same answers as the streaming checker, made the simple way: from trees of the schema and
 * the object, recursively, with everything in memory.  Only tests use it.  The answer is a text, the same
 * that tree_check_describe() makes of the streaming checker's result, so that two strings are compared.
 */
#ifndef TEST_DIFFERENTIAL_TREE_CHECK_H
#define TEST_DIFFERENTIAL_TREE_CHECK_H

#include "dws/validate/wstyped_check.h"
#include "shared/base/sbuf.h"

/* All ids are handled; with `mapped`, each id stands as tree_check_map() says. */
void tree_check(struct slice schema, struct slice object, bool mapped, struct sbuf *out);
/* `canonical` is what the sink got. */
void tree_check_describe(const struct check_result *result, struct slice canonical, struct sbuf *out);
bool tree_check_map(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped);

#endif
