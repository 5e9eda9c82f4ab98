#include "dws/ask.h"

#include <pthread.h>

#include "dws/loader.h"
#include "shared/base/url.h"
#include "shared/net/client.h"

#define CONNECT_US ((uint64_t)5000000)
#define TOTAL_US ((uint64_t)60000000)

enum { MAX_ANSWER = 256 << 20, IN_MEMORY = 16 << 20 };

/* The answer on its way from the client's thread to the one that waits. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    struct spool *body;
    char *problem;
};

static void on_done(void *ctx, struct http_result *result)
{
    struct question *q = ctx;

    pthread_mutex_lock(&q->lock);
    if (result->outcome == HTTP_ANSWERED)
        q->body = TAKE(result->body);
    else
        q->problem = xstrdup(result->problem ? result->problem : "the answer is too large");
    q->done = true;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static void exchange(struct question *q, struct http_client *client, const char *url, const struct sbuf *body)
{
    struct http_send send = {
        .verb = "POST",
        .url = url,
        .part_count = 1,
        .parts = { sbuf_slice(body) },
        .connect_us = CONNECT_US,
        .total_us = TOTAL_US,
        .answer = { IN_MEMORY, MAX_ANSWER, "/tmp" },
        .done = on_done,
        .ctx = q,
    };

    http_send(client, &send);
    pthread_mutex_lock(&q->lock);
    while (!q->done)
        pthread_cond_wait(&q->changed, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

static int read_answer(struct question *q, const struct type_id *id, struct sbuf *ret_schema,
                       struct sbuf *ret_absolute, struct err *err)
{
    AUTO_ARENA(arena);
    struct loaded loaded;
    struct slice bytes;

    if (!q->body)
        return err_set(err, ERR_REMOTE, "the service did not answer: %s", q->problem);
    int rc = spool_bytes(q->body, &bytes, err);
    if (rc == 0)
        rc = loader_read_answer(bytes, id, &arena, &loaded, err);
    if (rc == 0) {
        sbuf_add_slice(ret_schema, loaded.schema);
        type_id_put(ret_absolute, &loaded.id);
    }
    return rc;
}

static int ask(const char *url, const struct type_id *id, struct sbuf *ret_schema, struct sbuf *ret_absolute,
               struct err *err)
{
    const struct http_client_options options = { .max_connections = 1,
                                                 .max_waiting = 1,
                                                 .user_agent = "wstyped check" };
    struct question q = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    AUTO_SBUF(name, SBUF_NO_LIMIT);
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    struct http_client *client = http_client_new(&options, err);

    if (!client)
        return -(int)(err && err->code ? err->code : ERR_IO);
    type_id_put(&name, id);
    sbuf_addf(&body,
              "{\"method\":\"Workspace.get_type_info\",\"params\":[\"%s\"],\"version\":\"1.1\",\"id\":\"1\"}",
              name.p);
    exchange(&q, client, url, &body);
    http_client_free(client);
    int rc = read_answer(&q, id, ret_schema, ret_absolute, err);
    spool_free(q.body);
    free(q.problem);
    return rc;
}

int ask_schema(void *ctx UNUSED, const char *url, struct slice type, struct sbuf *ret_schema,
               struct sbuf *ret_absolute, struct err *err)
{
    const char *why = "";
    struct type_id id;

    if (!url_ok(url, &why))
        return err_set(err, ERR_ARGUMENT, "%s is not a service: %s", url, why);
    int rc = type_id_parse(type, false, &id, err);
    return rc == 0 ? ask(url, &id, ret_schema, ret_absolute, err) : rc;
}
