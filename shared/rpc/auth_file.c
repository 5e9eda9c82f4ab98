#include "shared/rpc/auth_file.h"

#include <pthread.h>

#include "shared/base/log.h"
#include "shared/rpc/role.h"

struct auth_file {
    const struct config *config;
    pthread_mutex_t lock; /* guards the pointer; readers hold it while they look something up */
    struct tokens *tokens;
};

static struct tokens *read_tokens(const struct config *config, struct err *err)
{
    struct tokens *tokens = tokens_read(config->auth_tokens_file, err);

    if (!tokens)
        err_prefix(err, "auth-tokens-file: ");
    else if (tokens->world_readable)
        log_message(LOG_LEVEL_INFO, "auth.file_is_readable_by_all",
                    "auth-tokens-file %s should not be readable by everybody", config->auth_tokens_file);
    return tokens;
}

struct auth_file *auth_file_new(const struct config *config, struct err *err)
{
    struct tokens *tokens = read_tokens(config, err);

    if (!tokens)
        return NULL;
    struct auth_file *file = xcalloc(1, sizeof(*file));
    file->config = config;
    file->tokens = tokens;
    pthread_mutex_init(&file->lock, NULL);
    return file;
}

void auth_file_free(struct auth_file *file)
{
    if (!file)
        return;
    tokens_free(file->tokens);
    pthread_mutex_destroy(&file->lock);
    free(file);
}

int auth_file_reload(struct auth_file *file, struct err *err)
{
    AUTO_ERR(problem);
    struct tokens *fresh = read_tokens(file->config, &problem);

    if (!fresh)
        return err_move(err, &problem);
    pthread_mutex_lock(&file->lock);
    struct tokens *old = file->tokens;
    file->tokens = fresh;
    pthread_mutex_unlock(&file->lock);
    tokens_free(old);
    return 0;
}

int auth_file_user(struct auth_file *file, const char *hash, struct arena *arena, const char **ret_user,
                   struct err *err)
{
    pthread_mutex_lock(&file->lock);
    const struct token_row *row = tokens_find(file->tokens, hash);
    if (row)
        *ret_user = arena_strdup(arena, row->name);
    pthread_mutex_unlock(&file->lock);
    return row ? 0 : err_set(err, ERR_AUTH, "Auth service returned an error: 10020 Invalid token");
}

enum admin_role auth_file_role(struct auth_file *file, const char *user, const char *hash)
{
    pthread_mutex_lock(&file->lock);
    enum admin_role role = role_local(file->config, user, tokens_find(file->tokens, hash));
    pthread_mutex_unlock(&file->lock);
    return role;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void auth_file_put_admins(struct auth_file *file, struct sbuf *names)
{
    pthread_mutex_lock(&file->lock);
    const struct tokens *tokens = file->tokens;
    const char **admins = xmalloc((tokens->count + 1) * sizeof(*admins));
    size_t count = 0;
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->rows[i].role == TOKEN_ADMIN)
            admins[count++] = tokens->rows[i].name;
    if (file->config->ws_admin)
        admins[count++] = file->config->ws_admin;
    if (count)
        qsort(admins, count, sizeof(*admins), compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(admins[i - 1], admins[i]) == 0)
            continue;
        if (i > 0)
            sbuf_addc(names, ',');
        json_put_str(names, admins[i]);
    }
    free(admins);
    pthread_mutex_unlock(&file->lock);
}

size_t auth_file_count(struct auth_file *file)
{
    pthread_mutex_lock(&file->lock);
    size_t count = file->tokens->count;
    pthread_mutex_unlock(&file->lock);
    return count;
}
