/*
 * versions: the numbers of module versions.  A number is the wall clock in milliseconds, or one more than the
 * highest one of the module; none is ever handed out twice, not even if the attempt that drew it failed.
 *
 * Threads: any.
 */
#ifndef TWS_REGISTRY_VERSIONS_H
#define TWS_REGISTRY_VERSIONS_H

#include "shared/base/base.h"

struct versions;

struct versions *versions_new(void) MUST_USE;
void versions_free(struct versions *versions);
/* A number that is in use somewhere in the database, committed or not. */
void versions_note(struct versions *versions, struct slice module, int64_t version);
/* max(now_ms, last + 1, highest noted or drawn + 1) */
int64_t versions_draw(struct versions *versions, struct slice module, int64_t last, int64_t now_ms) MUST_USE;

#endif
