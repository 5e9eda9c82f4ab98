/*
 * auth: token to user, user to admin role.  Either an auth2 service (asynchronous, cached, one question
 * however many wait) or a tokens file.  Any thread; callbacks come on the HTTP client's thread.  Tokens are
 * kept only as SHA-256 and in requests on their way to auth2; no text made here contains one.
 */
#ifndef SHARED_RPC_AUTH_H
#define SHARED_RPC_AUTH_H

#include "shared/base/config.h"
#include "shared/base/err.h"
#include "shared/net/client.h"
#include "shared/rpc/call.h"

struct auth;

/* rc 0: user (borrowed) is known; else err has the text (`Token validation failed: ` is already in front). */
typedef void auth_user_fn(void *ctx, int rc, const char *user, struct err *err);
typedef void auth_role_fn(void *ctx, int rc, enum admin_role role, struct err *err);

/* Checks the service's root document or reads the file. May block; called at start only. */
struct auth *auth_new(const struct config *config, struct http_client *client, struct err *err) MUST_USE;
void auth_free(struct auth *auth);
/*
 * For the end of a service: whoever waits is called with an error, and so is whoever asks from now on.  What
 * is on its way to the auth service still is, so the HTTP client must be freed before auth_free().
 */
void auth_close(struct auth *auth);
/* Reads the tokens file anew; on failure the old tokens stay. */
int auth_reload(struct auth *auth, struct err *err) MUST_USE;

/*
 * 0: *ret_user is in the arena.  -ERR_x: refused.  CALL_LATER: done() will be called, exactly once.
 */
int auth_user(struct auth *auth, struct slice token, struct arena *arena, const char **ret_user,
              auth_user_fn *done, void *ctx, struct err *err) MUST_USE;
int auth_role(struct auth *auth, const char *user, struct slice token, enum admin_role *ret_role,
              auth_role_fn *done, void *ctx, struct err *err) MUST_USE;
/* True if roles come from auth2 (then listAdmins and its siblings are refused with upstream's text). */
bool auth_roles_external(const struct auth *auth);
/* Elements of a JSON list: the names of the full administrators that are known here. */
void auth_put_admins(struct auth *auth, struct sbuf *names);
/* `"auth":{...}` member for /status: kind, entries, hits, misses; no comma before it. */
void auth_status(struct auth *auth, struct sbuf *json);

DEFINE_AUTO(struct auth, auth_free);

#endif
