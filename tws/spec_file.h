/*
 * spec_file: typespecs in files, for the offline commands.  Any thread; may block.
 */
#ifndef TWS_SPEC_FILE_H
#define TWS_SPEC_FILE_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

/* The file's bytes as a text; what is no UTF-8 becomes U+FFFD, as with Java. Returns 0 or -errno. */
int spec_file_read(const char *path, struct arena *arena, struct slice *ret_text) MUST_USE;

/*
 * The schema of `type` (Module.Type, a version is ignored) out of files, the last of which defines the
 * module; includes are found among the others by their names.  *ret_name gets the type's normalised name. ctx
 * is not used.
 */
int spec_file_schema(void *ctx, const char *const *paths, size_t count, struct slice type,
                     struct sbuf *ret_schema, struct sbuf *ret_name, struct err *err) MUST_USE;

#endif
