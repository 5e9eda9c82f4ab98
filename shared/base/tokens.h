/*
 * tokens: the file of users and hashed tokens that takes the place of an auth service on small sites.
 *
 * One user a line: `name  role  sha256-of-token`, role one of user, read-admin, admin; blank lines and lines
 * that begin with
 * `#` are skipped.  A user may have several lines.  Only hashes are kept, so the file does not give tokens
 * away. A struct tokens is read-only and may be shared; changing a file is done under a lock on `<file>.lock`
 * and by renaming a new file over it, so that readers see the old or the new one.  Errors: -ERR_IO,
 * -ERR_CONFIG with file and line.
 */
#ifndef SHARED_BASE_TOKENS_H
#define SHARED_BASE_TOKENS_H

#include "shared/base/digest.h"
#include "shared/base/err.h"

enum token_role { TOKEN_USER, TOKEN_READ_ADMIN, TOKEN_ADMIN };

struct token_row {
    char *name;
    enum token_role role;
    char hash[SHA256_HEX + 1];
};

struct tokens {
    size_t count;
    struct token_row *rows; /* in ascending order of hashes */
    bool world_readable;    /* the file: not wrong, but worth a warning */
};

struct tokens *tokens_read(const char *path, struct err *err) MUST_USE;
void tokens_free(struct tokens *tokens);
/* NULL if nobody has that token. */
const struct token_row *tokens_find(const struct tokens *tokens, const char *hash);

/* Appends a line, making the file if need be. */
int tokens_add(const char *path, const char *name, enum token_role role, const char *hash, struct err *err)
    MUST_USE;
/* Takes all lines of a user out; *ret_count says how many there were. Comments stay. */
int tokens_remove(const char *path, const char *name, size_t *ret_count, struct err *err) MUST_USE;

const char *token_role_name(enum token_role role);
bool token_role_parse(struct slice name, enum token_role *ret_role);

DEFINE_AUTO(struct tokens, tokens_free);

#endif
