#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/utf.h"

enum {
    BUFFER_LIMIT = 4 << 20,
    LINE_LIMIT = 1 << 20,
    PIPE_STEP = 4096,           /* what a pipe takes without blocking when poll() says it is writable */
    PATIENCE_MS = 200,          /* how often a writer that is kept waiting looks whether it shall stop */
    STOP_PATIENCE_US = 2000000, /* log_close() waits this long for a reader that does not read */
};

static struct {
    pthread_mutex_t mutex; /* what follows up to the next blank line */
    pthread_cond_t changed;
    struct sbuf lines;
    uint64_t dropped;
    bool open, reopen, stopping;
    uint64_t stop_us; /* no waiting for a reader after that */

    _Atomic int level;
    pthread_t thread;
    char *path; /* NULL: standard output; constant while the thread runs */

    int fd;    /* this and the rest: the writer's */
    bool torn; /* the last line written lacks its end */
} logger = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .lines = SBUF_INIT(BUFFER_LIMIT),
    .level = LOG_LEVEL_INFO,
    .fd = -1,
};

/* --- lines --- */

/* The controls U+0080 to U+009F too: terminals obey some of them. */
static bool must_escape(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || utf_is_surrogate(cp) || cp == 0xfffd || cp == 0x2028 ||
           cp == 0x2029;
}

static bool needs_quotes(struct slice value)
{
    size_t used;

    for (size_t i = 0; i < value.n; i += used) {
        uint32_t cp = utf_decode(value.p + i, value.n - i, &used);
        if (cp == ' ' || cp == '"' || cp == '=' || cp == '\\' || must_escape(cp))
            return true;
    }
    return value.n == 0;
}

static void put_quoted(struct sbuf *out, struct slice value)
{
    static const char shorts[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    size_t used;

    sbuf_addc(out, '"');
    for (size_t i = 0; i < value.n; i += used) {
        uint32_t cp = utf_decode(value.p + i, value.n - i, &used);
        if (cp == '"' || cp == '\\')
            sbuf_addf(out, "\\%c", (char)cp);
        else if (cp < sizeof(shorts) && shorts[cp])
            sbuf_addf(out, "\\%c", shorts[cp]);
        else if (must_escape(cp))
            sbuf_addf(out, "\\u%04x", cp);
        else
            sbuf_add(out, value.p + i, used);
    }
    sbuf_addc(out, '"');
}

void log_put(struct sbuf *fields, const char *key, struct slice value)
{
    sbuf_addc(fields, ' ');
    sbuf_adds(fields, key);
    sbuf_addc(fields, '=');
    if (needs_quotes(value))
        put_quoted(fields, value);
    else
        sbuf_add_slice(fields, value);
}

static void PRINTF(3, 0) vputf(struct sbuf *fields, const char *key, const char *fmt, va_list args)
{
    AUTO_SBUF(value, LINE_LIMIT);

    sbuf_vaddf(&value, fmt, args);
    log_put(fields, key, sbuf_slice(&value));
}

void log_putf(struct sbuf *fields, const char *key, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vputf(fields, key, fmt, args);
    va_end(args);
}

static void put_line(struct sbuf *out, enum log_level level, const char *event, struct slice fields)
{
    static const char *const names[] = { "error", "info", "debug" };
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    sbuf_addf(out, "time=%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ level=%s", tm.tm_year + 1900, tm.tm_mon + 1,
              tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000, names[level]);
    log_put(out, "event", slice_str(event));
    sbuf_add_slice(out, fields);
    sbuf_addc(out, '\n');
}

/* --- the writer --- */

static bool out_of_patience(void)
{
    bool out;

    pthread_mutex_lock(&logger.mutex);
    out = logger.stopping && clock_us() >= logger.stop_us;
    pthread_mutex_unlock(&logger.mutex);
    return out;
}

/* Waits until the other end takes bytes. False: it never will, or there is no more time. */
static bool wait_writable(void)
{
    struct pollfd poll_fd = { logger.fd, POLLOUT, 0 };

    for (;;) {
        int n = poll(&poll_fd, 1, PATIENCE_MS);
        if (n > 0)
            return (poll_fd.revents & (POLLERR | POLLNVAL)) == 0;
        if ((n < 0 && errno != EINTR) || out_of_patience())
            return false;
    }
}

/*
 * How much to write to a pipe at a time: whole lines where possible, so that those of other processes on the
 * same pipe come between lines.
 */
static size_t pipe_step(const char *bytes, size_t n)
{
    size_t step = n < PIPE_STEP ? n : PIPE_STEP;
    const char *end = memrchr(bytes, '\n', step);

    return end ? (size_t)(end - bytes) + 1 : step;
}

/* Returns how many bytes were written. */
static size_t write_bytes(const char *bytes, size_t n)
{
    struct stat st;
    bool file = fstat(logger.fd, &st) == 0 && S_ISREG(st.st_mode);
    size_t done = 0;

    while (done < n) {
        size_t step = file ? n - done : pipe_step(bytes + done, n - done);
        if (!file && !wait_writable())
            break;
        ssize_t written = write(logger.fd, bytes + done, step);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    return done;
}

static uint64_t count_lines(const char *bytes, size_t n)
{
    uint64_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += bytes[i] == '\n';
    return count;
}

/* Returns how many lines were lost. A line that was cut gets its end before the next one begins. */
static uint64_t write_lines(struct slice lines)
{
    size_t done;

    if (lines.n == 0)
        return 0;
    if (logger.torn && write_bytes("\n", 1) != 1)
        return count_lines(lines.p, lines.n);
    done = write_bytes(lines.p, lines.n);
    logger.torn = done > 0 && lines.p[done - 1] != '\n';
    return count_lines(lines.p + done, lines.n - done);
}

/* False if it could not be written. */
static bool PRINTF(3, 4) write_event(const char *event, const char *key, const char *fmt, ...)
{
    AUTO_SBUF(line, LINE_LIMIT);
    AUTO_SBUF(fields, LINE_LIMIT);
    va_list args;

    va_start(args, fmt);
    vputf(&fields, key, fmt, args);
    va_end(args);
    put_line(&line, LOG_LEVEL_ERROR, event, sbuf_slice(&fields));
    return write_lines(sbuf_slice(&line)) == 0;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

static void do_reopen(void)
{
    int fd;

    if (!logger.path)
        return;
    fd = open_file(logger.path);
    if (fd < 0) {
        write_event("log.reopen_failed", "reason", "%s", strerrordesc_np(errno));
        return;
    }
    close(logger.fd);
    logger.fd = fd;
    logger.torn = false;
}

/* Takes what waits, in exchange for an empty buffer. False when there is nothing and never will be. */
static bool take_lines(struct sbuf *empty, uint64_t *ret_dropped, bool *ret_reopen)
{
    bool more;

    pthread_mutex_lock(&logger.mutex);
    while (logger.lines.len == 0 && !logger.dropped && !logger.reopen && !logger.stopping)
        pthread_cond_wait(&logger.changed, &logger.mutex);
    struct sbuf full = logger.lines;
    logger.lines = *empty;
    *empty = full;
    *ret_dropped = logger.dropped;
    logger.dropped = 0;
    *ret_reopen = logger.reopen;
    logger.reopen = false;
    more = full.len > 0 || *ret_dropped || *ret_reopen || !logger.stopping;
    pthread_mutex_unlock(&logger.mutex);
    return more;
}

static void *writer_main(void *arg UNUSED)
{
    AUTO_SBUF(lines, BUFFER_LIMIT);
    uint64_t lost = 0, dropped;
    bool reopen;

    while (take_lines(&lines, &dropped, &reopen)) {
        if (reopen)
            do_reopen();
        lost += write_lines(sbuf_slice(&lines)) + dropped;
        sbuf_reset(&lines);
        if (lost > 0 && write_event("log.dropped", "n", "%llu", (unsigned long long)lost))
            lost = 0;
    }
    return NULL;
}

/* --- open and close --- */

int log_open(const char *path, enum log_level level, struct err *err)
{
    int fd = path ? open_file(path) : STDOUT_FILENO;

    if (fd < 0)
        return err_set(err, ERR_CONFIG, "cannot open log-file \"%s\": %s", path, strerrordesc_np(errno));
    logger.fd = fd;
    logger.path = path ? xstrdup(path) : NULL;
    logger.torn = false;
    atomic_store(&logger.level, (int)level);
    logger.stopping = false;
    if (pthread_create(&logger.thread, NULL, writer_main, NULL)) {
        if (path)
            close(fd);
        free(TAKE(logger.path));
        return err_set(err, ERR_IO, "cannot start a thread");
    }
    pthread_mutex_lock(&logger.mutex);
    logger.open = true;
    pthread_mutex_unlock(&logger.mutex);
    return 0;
}

void log_reopen(void)
{
    pthread_mutex_lock(&logger.mutex);
    logger.reopen = logger.open;
    pthread_cond_signal(&logger.changed);
    pthread_mutex_unlock(&logger.mutex);
}

void log_close(void)
{
    bool was_open;

    pthread_mutex_lock(&logger.mutex);
    was_open = logger.open;
    logger.open = false;
    logger.stopping = true;
    logger.stop_us = clock_us() + STOP_PATIENCE_US;
    pthread_cond_signal(&logger.changed);
    pthread_mutex_unlock(&logger.mutex);
    if (!was_open)
        return;
    pthread_join(logger.thread, NULL);
    if (logger.path)
        close(logger.fd);
    free(TAKE(logger.path));
    sbuf_release(&logger.lines);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

/* --- events --- */

static void submit(struct slice line)
{
    bool first = false, open;

    pthread_mutex_lock(&logger.mutex);
    open = logger.open;
    if (open && line.n <= BUFFER_LIMIT - logger.lines.len) {
        first = logger.lines.len == 0;
        sbuf_add_slice(&logger.lines, line);
    } else if (open) {
        logger.dropped++;
    }
    if (first)
        pthread_cond_signal(&logger.changed);
    pthread_mutex_unlock(&logger.mutex);
    if (!open && write(STDERR_FILENO, line.p, line.n) < 0)
        return;
}

void log_event(enum log_level level, const char *event, const struct sbuf *fields)
{
    AUTO_SBUF(line, LINE_LIMIT);

    if (!log_wants(level))
        return;
    put_line(&line, level, event, fields ? sbuf_slice(fields) : SLICE(""));
    if (line.failed || (fields && fields->failed)) {
        sbuf_reset(&line);
        put_line(&line, level, event, SLICE(" log=\"fields are too long\""));
    }
    submit(sbuf_slice(&line));
}

void log_message(enum log_level level, const char *event, const char *fmt, ...)
{
    AUTO_SBUF(fields, LINE_LIMIT);
    va_list args;

    if (!log_wants(level))
        return;
    va_start(args, fmt);
    vputf(&fields, "message", fmt, args);
    va_end(args);
    log_event(level, event, &fields);
}
