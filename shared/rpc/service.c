#include "shared/rpc/service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/rpc/dispatch.h"
#include "shared/rpc/service_inner.h"

enum {
    MAX_NODES = 2000000, /* JSON values in a request */
    AUTH_CONNECTIONS = 32,
    AUTH_WAITING = 2048,
    POLL_US = 10000,
    CANCEL_US = 700000, /* from ending what calls wait for to giving up on them */
};

/* ---- signals ---- */

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static void reload(struct service *service)
{
    AUTO_ERR(err);

    log_reopen();
    if (auth_reload(service->auth, &err) < 0)
        log_message(LOG_LEVEL_ERROR, "service.reload_failed", "%s (the old tokens stay in force)",
                    err_text(&err));
    else
        log_event(LOG_LEVEL_INFO, "service.reloaded", NULL);
}

static void terminate(struct service *service)
{
    pthread_mutex_lock(&service->lock);
    bool running = service->running;
    pthread_mutex_unlock(&service->lock);
    if (!running) {
        /* nothing is in progress before the port is open, and stopping the start from outside is not possible
         */
        log_event(LOG_LEVEL_INFO, "service.stopped_while_starting", NULL);
        log_close();
        _exit(0);
    }
    service_stop(service, 0);
}

static void *signal_main(void *arg)
{
    struct service *service = arg;
    struct pollfd fds[] = { { service->signal_fd, POLLIN, 0 }, { service->end_fd, POLLIN, 0 } };

    for (;;) {
        struct signalfd_siginfo info;
        if (poll(fds, ARRAY_LEN(fds), -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        if (read(service->signal_fd, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGHUP)
            reload(service);
        else
            terminate(service);
    }
}

static int start_signals(struct service *service, struct err *err)
{
    sigset_t set = our_signals();

    service->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    service->end_fd = eventfd(0, EFD_CLOEXEC);
    if (service->signal_fd < 0 || service->end_fd < 0)
        return err_set(err, ERR_IO, "cannot wait for signals: %s", strerror(errno));
    int rc = pthread_create(&service->signal_thread, NULL, signal_main, service);
    if (rc != 0)
        return err_set(err, ERR_IO, "cannot start the signal thread: %s", strerror(rc));
    service->has_signal_thread = true;
    return 0;
}

static void stop_signals(struct service *service)
{
    uint64_t one = 1;

    if (service->has_signal_thread && write(service->end_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(service->signal_thread, NULL);
    if (service->signal_fd >= 0)
        close(service->signal_fd);
    if (service->end_fd >= 0)
        close(service->end_fd);
}

/* ---- making one ---- */

static int open_log(struct service *service, struct err *err)
{
    static const enum log_level levels[] = {
        [LOG_CHOICE_INFO] = LOG_LEVEL_INFO,
        [LOG_CHOICE_ERROR] = LOG_LEVEL_ERROR,
        [LOG_CHOICE_DEBUG] = LOG_LEVEL_DEBUG,
    };
    int rc = log_open(service->config->log_file, levels[service->config->log_level], err);

    if (rc < 0)
        err_prefix(err, "log-file: ");
    service->log_is_open = rc == 0;
    return rc;
}

static int make_temp_dir(const struct config *config, struct err *err)
{
    const char *dir = config->temp_dir;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "temp-dir: cannot make %s: %s", dir, strerror(errno));
    if (access(dir, R_OK | W_OK | X_OK) < 0)
        return err_set(err, ERR_CONFIG, "temp-dir: cannot use %s: %s", dir, strerror(errno));
    return 0;
}

static int make_clients(struct service *service, struct err *err)
{
    const struct config *config = service->config;
    struct http_client_options options = {
        .max_connections = (unsigned)config->delegation_max_connections,
        .max_waiting = (size_t)config->delegation_queue,
        .user_agent = "wstyped/" WSTYPED_VERSION,
    };
    struct http_client_options auth_options = options;

    auth_options.max_connections = AUTH_CONNECTIONS;
    auth_options.max_waiting = AUTH_WAITING;
    service->client = http_client_new(&options, err);
    if (!service->client)
        return -ERR_IO;
    service->auth_client = http_client_new(&auth_options, err);
    return service->auth_client ? 0 : -ERR_IO;
}

static int make_auth(struct service *service, struct err *err)
{
    const char *url = service->config->auth2_service_url;

    service->auth = auth_new(service->config, service->auth_client, err);
    if (service->auth && url && strncasecmp(url, "http:", 5) == 0)
        log_message(LOG_LEVEL_INFO, "auth.insecure",
                    "auth root URI is insecure: auth2-service-url is plain http");
    return service->auth ? 0 : -ERR_CONFIG;
}

static int make_workers(struct service *service, struct err *err)
{
    service->workers =
        workers_new((unsigned)service->config->worker_threads, (size_t)service->config->worker_queue, err);
    return service->workers ? 0 : -ERR_IO;
}

struct service *service_new(const struct config *config, struct err *err)
{
    AUTO(service_free_auto) struct service *service = xcalloc(1, sizeof(*service));
    sigset_t set = our_signals();

    /* before any thread is made: all inherit the mask, and only signal_main() gets these */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&service->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&service->stop_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    service->config = config;
    service->signal_fd = service->end_fd = -1;
    service->started_us = clock_us();
    service->limits = (struct json_limits){ (size_t)config->max_json_depth, MAX_NODES };
    random_id(service->node_id);
    if (open_log(service, err) < 0 || make_temp_dir(config, err) < 0 || make_clients(service, err) < 0 ||
        make_auth(service, err) < 0 || make_workers(service, err) < 0 || start_signals(service, err) < 0)
        return NULL;
    return TAKE(service);
}

void service_free(struct service *service)
{
    if (!service)
        return;
    stop_signals(service);
    http_server_free(service->server);
    workers_free(service->workers);
    http_client_free(service->client);
    http_client_free(service->auth_client);
    auth_free(service->auth);
    pthread_cond_destroy(&service->stop_changed);
    pthread_mutex_destroy(&service->lock);
    if (service->log_is_open)
        log_close();
    free(service);
}

const struct config *service_config(const struct service *service)
{
    return service->config;
}

struct http_client *service_client(struct service *service)
{
    return service->client;
}

struct auth *service_auth(struct service *service)
{
    return service->auth;
}

const char *service_node_id(const struct service *service)
{
    return service->node_id;
}

int service_run_on_worker(struct service *service, void (*fn)(void *ctx), void *ctx, struct err *err)
{
    return workers_run(service->workers, fn, ctx, err);
}

/* ---- running it ---- */

void service_stop(struct service *service, int status)
{
    pthread_mutex_lock(&service->lock);
    service->hurry = service->stop || status != 0;
    if (!service->stop) {
        service->stop = true;
        service->stop_status = status;
    }
    pthread_cond_broadcast(&service->stop_changed);
    pthread_mutex_unlock(&service->lock);
}

static int open_server(struct service *service, struct err *err)
{
    const struct config *config = service->config;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct http_server_options options = {
        .address = config->listen_address,
        .port = (int)config->port,
        .threads = config->server_threads ? (unsigned)config->server_threads
                                          : (unsigned)(processors > 0 ? processors : 1),
        .max_connections = (unsigned)config->max_connections,
        .max_header_bytes = (size_t)config->max_header_size,
        .body = { (size_t)config->body_memory, (size_t)config->max_body_size, config->temp_dir },
        .idle_us = (uint64_t)config->idle_timeout,
        .header_us = (uint64_t)config->header_timeout,
        .request_us = (uint64_t)config->request_timeout,
    };

    service->server = http_server_new(&options, dispatch_request, service, err);
    return service->server ? 0 : -ERR_IO;
}

/* A host that reaches this process from the same machine. */
static void put_url(struct sbuf *out, const struct service *service)
{
    const char *address = service->config->listen_address;
    const char *host = strcmp(address, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(address, "::") == 0    ? "::1"
                                                       : address;
    bool brackets = strchr(host, ':') && host[0] != '[';

    sbuf_addf(out, "http://%s%s%s:%d/", brackets ? "[" : "", host, brackets ? "]" : "",
              http_server_port(service->server));
}

/* Whoever waits for the file must never see half of it. */
static int write_ready_file(const struct service *service, const char *path, struct err *err)
{
    AUTO_SBUF(text, 4096);
    AUTO_SBUF(url, 1024);
    AUTO(free_str_auto) char *temp = xasprintf("%s.%ld.tmp", path, (long)getpid());

    put_url(&url, service);
    sbuf_adds(&text, "{\"url\":");
    json_put_string(&text, sbuf_slice(&url));
    sbuf_addf(&text, ",\"role\":\"%s\",\"pid\":%ld}\n", service->mode->role, (long)getpid());
    FILE *file = fopen(temp, "we");
    if (!file)
        return err_set(err, ERR_IO, "cannot make the ready file %s: %s", temp, strerror(errno));
    bool written = fwrite(text.p, 1, text.len, file) == text.len;
    if (fclose(file) != 0 || !written || rename(temp, path) < 0) {
        int rc = err_set(err, ERR_IO, "cannot write the ready file %s: %s", path, strerror(errno));
        unlink(temp);
        return rc;
    }
    return 0;
}

static struct timespec after_us(uint64_t us)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t ns = (uint64_t)at.tv_nsec + us * 1000;
    at.tv_sec += (time_t)(ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

/* Waits for the end; up to a limit, if there is something to look at meanwhile. */
static bool wait_for_stop(struct service *service, bool limited)
{
    struct timespec until = after_us(POLL_US);

    pthread_mutex_lock(&service->lock);
    while (!service->stop)
        if (!limited)
            pthread_cond_wait(&service->stop_changed, &service->lock);
        else if (pthread_cond_timedwait(&service->stop_changed, &service->lock, &until) != 0)
            break;
    bool stop = service->stop;
    pthread_mutex_unlock(&service->lock);
    return stop;
}

static bool may_announce(const struct service *service)
{
    const struct service_mode *mode = service->mode;
    AUTO_SBUF(reasons, 65536);

    return mode->announce ? mode->announce(service->app) : mode->ready(service->app, &reasons);
}

/* Keys of the Java service that mean nothing here: told once, so that nobody waits for their effect. */
static void log_unused(const struct config *config)
{
    AUTO_SBUF(fields, SBUF_NO_LIMIT);
    AUTO_SBUF(keys, SBUF_NO_LIMIT);

    for (size_t i = 0; i < config->unused.count; i++)
        sbuf_addf(&keys, "%s%s", i ? "," : "", config->unused.items[i]);
    if (config->unused.count == 0)
        return;
    log_put(&fields, "keys", sbuf_slice(&keys));
    log_event(LOG_LEVEL_INFO, "config.unused", &fields);
}

static void log_started(const struct service *service)
{
    AUTO_SBUF(fields, 4096);
    AUTO_SBUF(url, 1024);

    put_url(&url, service);
    log_put(&fields, "role", slice_str(service->mode->role));
    log_put(&fields, "node", slice_str(service->node_id));
    log_put(&fields, "url", sbuf_slice(&url));
    log_put(&fields, "version", slice_str(WSTYPED_VERSION));
    log_event(LOG_LEVEL_INFO, "service.started", &fields);
}

/* Polls until the first readiness, so that the file appears then; afterwards nothing here wakes up any more.
 */
static int serve(struct service *service, const char *ready_file, struct err *err)
{
    bool waiting = true;

    while (!wait_for_stop(service, waiting)) {
        if (!waiting || !may_announce(service))
            continue;
        waiting = false;
        log_unused(service->config);
        log_started(service);
        if (ready_file && write_ready_file(service, ready_file, err) < 0)
            return -ERR_IO;
    }
    return 0;
}

/* ---- ending it ---- */

typedef bool done_fn(struct service *service);

static bool all_answered(struct service *service)
{
    return atomic_load(&service->calls_active) == 0 && http_server_active(service->server) == 0;
}

/* An open connection may be bringing a request. */
static bool all_gone(struct service *service)
{
    return all_answered(service) && http_server_connections(service->server) == 0;
}

static bool wait_until(struct service *service, done_fn *done, uint64_t until)
{
    while (!done(service)) {
        if (clock_us() >= until)
            return false;
        usleep(POLL_US);
    }
    return true;
}

/*
 * Nothing has changed yet but what /ready says, and that each answer is the last on its connection: a
 * balancer notices, and has no connection left on which it could send a call just when it is closed.
 */
static void linger(struct service *service)
{
    struct timespec until = after_us((uint64_t)service->config->drain_delay);

    pthread_mutex_lock(&service->lock);
    while (!service->hurry)
        if (pthread_cond_timedwait(&service->stop_changed, &service->lock, &until) != 0)
            break;
    pthread_mutex_unlock(&service->lock);
}

static void abandon(struct service *service, int status)
{
    log_message(LOG_LEVEL_ERROR, "service.abandoned", "%zu calls are stuck; ending without them",
                atomic_load(&service->calls_active));
    log_close();
    _exit(status);
}

static void drain(struct service *service, int status)
{
    atomic_store(&service->draining, true);
    log_message(LOG_LEVEL_INFO, "service.draining", "%zu calls in progress",
                atomic_load(&service->calls_active));
    linger(service);
    uint64_t until = clock_us() + (uint64_t)service->config->drain_timeout;
    if (service->mode->drain)
        service->mode->drain(service->app);
    http_server_quiesce(service->server);
    if (!wait_until(service, all_gone, until) && !all_answered(service)) {
        atomic_store(&service->closing, true);
        auth_close(service->auth);
        http_client_cancel(service->client);
        http_client_cancel(service->auth_client);
        wait_until(service, all_answered, clock_us() + CANCEL_US);
    }
    /* a connection that is open still may have brought one more call meanwhile */
    atomic_store(&service->closing, true);
    wait_until(service, all_answered, clock_us() + CANCEL_US);
    /* answers that a client does not read may be thrown away, calls may not */
    if (atomic_load(&service->calls_active) > 0)
        abandon(service, status);
    http_server_free(atomic_exchange(&service->server, NULL));
    log_event(LOG_LEVEL_INFO, "service.stopped", NULL);
}

int service_run(struct service *service, const struct service_mode *mode, void *app, const char *ready_file,
                struct err *err)
{
    if (!method_table_valid(mode->methods))
        return err_set(err, ERR_CONFIG, "the method table of %s is out of order", mode->role);
    service->mode = mode;
    service->app = app;
    if (ready_file)
        unlink(ready_file);
    int rc = open_server(service, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&service->lock);
    service->running = true;
    pthread_mutex_unlock(&service->lock);
    if (mode->started)
        mode->started(app, http_server_port(service->server));
    rc = serve(service, ready_file, err);
    if (rc < 0)
        service_stop(service, 1);
    drain(service, rc < 0 ? 1 : service->stop_status);
    return rc < 0 ? rc : service->stop_status;
}
