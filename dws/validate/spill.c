#include "dws/validate/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/base/sbuf.h"

enum { FIRST_CAPACITY = 4096, MARK_STEP = 2 * SPILL_ROOM };

void spill_init(struct spill *s, size_t memory, const char *folder)
{
    const size_t least = 4 * SPILL_ROOM;

    *s = (struct spill){ .memory = memory > least ? memory : least, .folder = folder, .fd = -1 };
}

void spill_release(struct spill *s)
{
    free(s->p);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct spill){ .fd = -1 };
}

static int open_file(const char *folder)
{
    AUTO_SBUF(path, SBUF_NO_LIMIT);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    sbuf_addf(&path, "%s/wstyped-check-XXXXXX", folder);
    fd = mkostemp(path.p, O_CLOEXEC);
    if (fd >= 0)
        unlink(path.p);
    return fd;
}

static void write_out(struct spill *s, size_t n)
{
    size_t done = 0;

    if (s->fd < 0 && !s->failed && (s->fd = open_file(s->folder)) < 0)
        s->failed = errno;
    while (done < n && !s->failed) {
        ssize_t got = pwrite(s->fd, s->p + done, n - done, (off_t)(s->base + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            s->failed = got == 0 ? ENOSPC : errno;
    }
}

static void grow(struct spill *s, size_t n)
{
    size_t cap = s->cap ? s->cap : FIRST_CAPACITY;
    bool unneeded = s->moving && s->moving(s->ctx);

    while (cap < s->n + n && cap < s->memory)
        cap *= 2;
    cap = cap < s->memory ? cap : s->memory;
    if (cap > s->cap) {
        s->p = xrealloc(s->p, cap);
        s->cap = cap;
    }
    if (s->cap - s->n >= n)
        return;
    /* a tail stays, because what is cut and read most is the newest */
    size_t keep = unneeded ? 0 : s->n / 4;
    if (!unneeded)
        write_out(s, s->n - keep);
    s->base += s->n - keep;
    memmove(s->p, s->p + s->n - keep, keep);
    s->n = keep;
}

void spill_make_room(struct spill *s, size_t n)
{
    if (s->grown)
        s->grown(s->ctx);
    if (s->cap - s->n < n)
        grow(s, n);
    s->mark = s->grown && s->cap - s->n > MARK_STEP ? s->n + MARK_STEP : s->cap;
}

void spill_add(struct spill *s, const char *bytes, size_t n)
{
    const size_t most = SPILL_ROOM - 1;

    while (n) {
        size_t part = n < most ? n : most;
        memcpy(spill_room(s, part), bytes, part);
        s->n += part;
        bytes += part;
        n -= part;
    }
}

void spill_cut(struct spill *s, uint64_t end)
{
    if (end >= s->base) {
        s->n = (size_t)(end - s->base);
    } else {
        s->base = end;
        s->n = 0;
    }
}

void spill_read(struct spill *s, uint64_t offset, char *to, size_t n)
{
    while (n && offset < s->base) {
        size_t part = s->base - offset < n ? (size_t)(s->base - offset) : n;
        ssize_t got = s->failed ? 0 : pread(s->fd, to, part, (off_t)offset);
        if (got <= 0) {
            if (got < 0 && errno == EINTR)
                continue;
            if (!s->failed)
                s->failed = got ? errno : EIO;
            memset(to, ' ', n);
            return;
        }
        offset += (uint64_t)got;
        to += got;
        n -= (size_t)got;
    }
    if (n)
        memcpy(to, s->p + (offset - s->base), n);
}

struct slice spill_view(struct spill *s, uint64_t offset, size_t n, char *buf, size_t buf_size)
{
    if (offset >= s->base)
        return slice_of(s->p + (offset - s->base), n);
    n = n < buf_size ? n : buf_size;
    if (s->base - offset < n)
        n = (size_t)(s->base - offset);
    spill_read(s, offset, buf, n);
    return slice_of(buf, n);
}
