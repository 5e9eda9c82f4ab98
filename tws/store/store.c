#include "tws/store/store.h"

#include <assert.h>

static int open_mongo(const struct config *config, enum store_access access, struct store **ret_store,
                      struct err *err)
{
    const struct store_mongo_options options = {
        .host = config->mongodb_host,
        .database = config->mongodb_type_database,
        .user = config->mongodb_user,
        .password = config->mongodb_pwd,
        .retry_writes = config->mongodb_retrywrites,
        .access = access,
        .server_selection_us = config->mongodb_server_selection_timeout,
        .connect_us = config->mongodb_connect_timeout,
        .socket_us = config->mongodb_socket_timeout,
        .start_us = config->mongodb_start_timeout,
    };

    if (!options.host)
        return err_set(err, ERR_CONFIG, "mongodb-host is not given");
    return store_mongo_open(&options, ret_store, err);
}

int store_open(const struct config *config, struct store **ret_store, struct err *err)
{
    return store_open_as(config, config->read_only ? STORE_READ : STORE_WRITE, ret_store, err);
}

int store_open_as(const struct config *config, enum store_access access, struct store **ret_store,
                  struct err *err)
{
    assert(config && ret_store);
    if (config->type_database_file)
        return store_sqlite_open_as(config->type_database_file, access, ret_store, err);
    if (config->mongodb_type_database)
        return open_mongo(config, access, ret_store, err);
    return err_set(err, ERR_CONFIG, "neither type-database-file nor mongodb-type-database is given");
}

void store_close(struct store *store)
{
    if (store)
        store->ops->close(store);
}

int store_cluster_id(struct store *store, char ret_id[RANDOM_ID_HEX + 1], struct err *err)
{
    assert(store && ret_id);
    return store->ops->cluster_id(store, ret_id, err);
}

int store_load(struct store *store, const struct store_sink *sink, struct err *err)
{
    assert(store && sink);
    assert(sink->pointers && sink->owner && sink->request && sink->info && sink->spec && sink->schema);
    assert(sink->type_parse && sink->func_parse && sink->type_ref && sink->func_ref);
    return store->ops->load(store, sink, err);
}

int store_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text, struct err *err)
{
    assert(store && key && ret_text);
    return store->ops->read_text(store, key, ret_text, err);
}

int store_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err)
{
    assert(store && set);
    if (fence <= 0)
        return err_set(err, ERR_FENCED, "this process does not hold the writer lease of the type database");
    return store->ops->commit(store, set, fence, err);
}

int store_lease_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                     struct lease_holder *ret_holder, struct err *err)
{
    assert(store && me && me->node[0] && ttl_ms > 0 && ret_fence && ret_holder);
    return store->ops->lease_take(store, me, ttl_ms, ret_fence, ret_holder, err);
}

int store_lease_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err)
{
    assert(store && fence > 0 && ttl_ms > 0);
    return store->ops->lease_renew(store, fence, ttl_ms, err);
}

int store_lease_give_up(struct store *store, int64_t fence, struct err *err)
{
    assert(store && fence > 0);
    return store->ops->lease_give_up(store, fence, err);
}

int store_check(struct store *store, const struct store_check *check, struct err *err)
{
    assert(store && check && check->found && check->fence >= 0);
    return store->ops->check ? store->ops->check(store, check, err) : 0;
}

void store_status(struct store *store, struct sbuf *json)
{
    assert(store && json);
    store->ops->status(store, json);
}
