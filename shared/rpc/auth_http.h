/*
 * auth_http: the questions to an auth2 service and its answers, with the texts of upstream's client.
 *
 * Nothing is kept here.  Any thread; the readers do not block.  Codes: -ERR_CONFIG for the check at start,
 * -ERR_AUTH for tokens, -ERR_REMOTE for roles.
 */
#ifndef SHARED_RPC_AUTH_HTTP_H
#define SHARED_RPC_AUTH_HTTP_H

#include "shared/base/config.h"
#include "shared/net/client.h"
#include "shared/rpc/call.h"

enum { AUTH_HTTP_MAX_ANSWER = 1 << 20 };

/* The configured URL with exactly one slash at its end and `path` behind it. */
char *auth_http_url(const char *root, const char *path) MUST_USE;

/* Sends a GET; token NULL: none. */
void auth_http_get(struct http_client *client, const char *url, const char *token, uint64_t timeout_us,
                   http_done_fn *done, void *ctx);

/* What the root of the configured URL answered: is it an auth service? */
int auth_http_read_root(const char *url, const struct http_result *result, struct err *err) MUST_USE;
/* api/V2/token: *ret_user is from malloc. */
int auth_http_read_user(const char *url, const struct http_result *result, char **ret_user, struct err *err)
    MUST_USE;
/* api/V2/me */
int auth_http_read_role(const struct config *config, const struct http_result *result,
                        enum admin_role *ret_role, struct err *err) MUST_USE;

#endif
