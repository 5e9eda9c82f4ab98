/*
 * auth_file: users out of a tokens file, which can be read anew while questions are asked.  Any thread.
 */
#ifndef SHARED_RPC_AUTH_FILE_H
#define SHARED_RPC_AUTH_FILE_H

#include "shared/base/arena.h"
#include "shared/base/config.h"
#include "shared/base/tokens.h"
#include "shared/rpc/call.h"

struct auth_file;

/* config is borrowed. -ERR_CONFIG, -ERR_IO name auth-tokens-file. */
struct auth_file *auth_file_new(const struct config *config, struct err *err) MUST_USE;
void auth_file_free(struct auth_file *file);
/* On failure the old tokens stay. */
int auth_file_reload(struct auth_file *file, struct err *err) MUST_USE;

/* hash: of the token. -ERR_AUTH with auth2's text. */
int auth_file_user(struct auth_file *file, const char *hash, struct arena *arena, const char **ret_user,
                   struct err *err) MUST_USE;
enum admin_role auth_file_role(struct auth_file *file, const char *user, const char *hash);
/* Appends the names of the full administrators as elements of a JSON list, sorted, each once. */
void auth_file_put_admins(struct auth_file *file, struct sbuf *names);
size_t auth_file_count(struct auth_file *file);

#endif
