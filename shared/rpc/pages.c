#include "shared/rpc/pages.h"

#include "shared/base/clock.h"
#include "shared/rpc/service_inner.h"

enum { MAX_PAGE = 1 << 20, STATUS_OK = 200, STATUS_UNAVAILABLE = 503 };

/* All return the HTTP status and append the body. */
typedef int page_fn(struct service *service, struct sbuf *out);

static int page_live(struct service *service UNUSED, struct sbuf *out)
{
    sbuf_adds(out, "{\"live\":true}");
    return STATUS_OK;
}

static bool is_ready(struct service *service, struct sbuf *reasons)
{
    bool draining = atomic_load(&service->draining);

    if (draining)
        json_put_str(reasons, "the server is shutting down");
    AUTO_SBUF(more, MAX_PAGE);
    bool ready = service->mode->ready(service->app, &more);
    if (draining && more.len)
        sbuf_addc(reasons, ',');
    sbuf_add_slice(reasons, sbuf_slice(&more));
    return ready && !draining;
}

static int page_ready(struct service *service, struct sbuf *out)
{
    AUTO_SBUF(reasons, MAX_PAGE / 2);

    if (is_ready(service, &reasons)) {
        sbuf_adds(out, "{\"ready\":true}");
        return STATUS_OK;
    }
    sbuf_adds(out, "{\"ready\":false,\"reasons\":[");
    sbuf_add_slice(out, sbuf_slice(&reasons));
    sbuf_adds(out, "]}");
    return STATUS_UNAVAILABLE;
}

static int page_status(struct service *service, struct sbuf *out)
{
    AUTO_SBUF(reasons, MAX_PAGE / 2);
    bool ready = is_ready(service, &reasons);
    struct http_server *server = atomic_load(&service->server);

    sbuf_addf(
        out,
        "{\"role\":\"%s\",\"node\":\"%s\",\"version\":\"%s\",\"workspace_version\":\"%s\",\"protocol\":%d,"
        "\"uptime_s\":%llu,\"ready\":%s,\"reasons\":[",
        service->mode->role, service->node_id, WSTYPED_VERSION, SERVICE_VERSION, PROTOCOL_VERSION,
        (unsigned long long)((clock_us() - service->started_us) / 1000000), ready ? "true" : "false");
    sbuf_add_slice(out, sbuf_slice(&reasons));
    sbuf_addf(out,
              "],\"requests_active\":%zu,\"calls\":{\"active\":%zu,\"total\":%llu,\"failed\":%llu,"
              "\"waiting_for_worker\":%zu},",
              server ? http_server_active(server) : 0, atomic_load(&service->calls_active),
              (unsigned long long)atomic_load(&service->calls_total),
              (unsigned long long)atomic_load(&service->calls_failed), workers_waiting(service->workers));
    auth_status(service->auth, out);
    if (service->mode->status)
        service->mode->status(service->app, out);
    sbuf_addc(out, '}');
    return STATUS_OK;
}

bool pages_answer(struct service *service, struct http_request *request)
{
    static const struct {
        const char *path;
        page_fn *make;
    } pages[] = {
        { "/live", page_live },
        { "/ready", page_ready },
        { "/status", page_status },
    };

    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (strcmp(pages[i].path, http_path(request)) != 0)
            continue;
        AUTO_SBUF(out, 2 * MAX_PAGE);
        size_t len = 0;
        int status = pages[i].make(service, &out);
        char *bytes = sbuf_take(&out, &len);
        reply_bytes(service, request, bytes ? status : STATUS_UNAVAILABLE, "application/json", false, bytes,
                    len);
        return true;
    }
    return false;
}
