#include "shared/net/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct spool {
    struct spool_limits limits;
    struct sbuf memory; /* all bytes while fd is -1 */
    size_t size;
    int fd;
    void *map; /* NULL: not mapped */
    size_t map_size;
};

struct spool *spool_new(const struct spool_limits *limits)
{
    struct spool *spool = xcalloc(1, sizeof(*spool));

    spool->limits = *limits;
    spool->memory.limit = SBUF_NO_LIMIT;
    spool->fd = -1;
    return spool;
}

static void unmap(struct spool *spool)
{
    if (spool->map)
        munmap(spool->map, spool->map_size);
    spool->map = NULL;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    unmap(spool);
    if (spool->fd >= 0)
        close(spool->fd);
    sbuf_release(&spool->memory);
    free(spool);
}

static int failed(struct err *err, const char *what, int number)
{
    return err_set(err, ERR_IO, "%s the temporary directory: %s", what, strerrordesc_np(number));
}

/* Some file systems know no O_TMPFILE. */
static int open_named(const char *dir)
{
    char *path = xasprintf("%s/wstyped-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

static int open_file(struct spool *spool, struct err *err)
{
    const char *dir = spool->limits.temp_dir ? spool->limits.temp_dir : "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = open_named(dir);
    if (fd < 0)
        return failed(err, "cannot make a file in", errno);
    spool->fd = fd;
    return 0;
}

/* At an offset, not at the end: what a failed write left behind is written over by the next one. */
static int write_at(const struct spool *spool, const char *bytes, size_t n, size_t at, struct err *err)
{
    while (n > 0) {
        ssize_t done = pwrite(spool->fd, bytes, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return failed(err, "cannot write to", done < 0 ? errno : ENOSPC);
        bytes += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
    return 0;
}

static int move_to_file(struct spool *spool, struct err *err)
{
    int rc = open_file(spool, err);

    if (rc == 0)
        rc = write_at(spool, spool->memory.p, spool->memory.len, 0, err);
    if (rc == 0) {
        sbuf_release(&spool->memory);
    } else if (spool->fd >= 0) {
        close(spool->fd);
        spool->fd = -1;
    }
    return rc;
}

int spool_add(struct spool *spool, const void *bytes, size_t n, struct err *err)
{
    int rc;

    if (n > spool->limits.max - spool->size)
        return err_set(err, ERR_TOO_BIG, "larger than %zu bytes", spool->limits.max);
    unmap(spool);
    if (spool->fd < 0 && spool->size + n <= spool->limits.memory) {
        sbuf_add(&spool->memory, bytes, n);
        spool->size += n;
        return 0;
    }
    rc = spool->fd < 0 ? move_to_file(spool, err) : 0;
    if (rc == 0)
        rc = write_at(spool, bytes, n, spool->size, err);
    if (rc == 0)
        spool->size += n;
    return rc;
}

void spool_cut(struct spool *spool, size_t n)
{
    if (n >= spool->size)
        return;
    unmap(spool);
    spool->size = n;
    if (spool->fd >= 0)
        return;
    spool->memory.len = n;
    spool->memory.p[n] = '\0';
}

size_t spool_size(const struct spool *spool)
{
    return spool->size;
}

int spool_bytes(struct spool *spool, struct slice *ret_bytes, struct err *err)
{
    if (spool->fd < 0) {
        *ret_bytes = sbuf_slice(&spool->memory);
        return 0;
    }
    if (!spool->map && spool->size > 0) {
        void *map = mmap(NULL, spool->size, PROT_READ, MAP_PRIVATE, spool->fd, 0);
        if (map == MAP_FAILED)
            return failed(err, "cannot map a file in", errno);
        spool->map = map;
        spool->map_size = spool->size;
    }
    *ret_bytes = slice_of(spool->map ? spool->map : "", spool->size);
    return 0;
}

int spool_fd(const struct spool *spool)
{
    return spool->fd;
}
