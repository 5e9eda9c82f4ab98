/*
 * cmd_check: `wstyped check`, which checks one object against a type from the command line.
 *
 * Where schemas come from is the caller's: the compiler and the network are not this folder's.  Exit status:
 * 0 the object is valid, 1 it is not, 2 wrong usage or something that could not be read.
 */
#ifndef DWS_CMD_CHECK_H
#define DWS_CMD_CHECK_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

struct check_source {
    void *ctx;
    /*
     * The schema of `type` (Module.Type, perhaps with a version) out of KIDL files, the last of which has the
     * module, and the type's name for the answer.
     */
    int (*schema_of)(void *ctx, const char *const *spec_files, size_t n, struct slice type,
                     struct sbuf *ret_schema, struct sbuf *ret_absolute, struct err *err);
    /* The same from a running service; NULL if that is not to be had. */
    int (*schema_from)(void *ctx, const char *url, struct slice type, struct sbuf *ret_schema,
                       struct sbuf *ret_absolute, struct err *err);
};

int cmd_check(int argc, char **argv, const struct check_source *source);

#endif
