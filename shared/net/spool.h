/*
 * spool: the bytes of a request or an answer: in memory up to a threshold, above it in an unlinked file in
 * temp-dir, never more than a limit.  Belongs to one thread at a time.
 */
#ifndef SHARED_NET_SPOOL_H
#define SHARED_NET_SPOOL_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

struct spool_limits {
    size_t memory;        /* bytes kept in memory */
    size_t max;           /* most bytes in all */
    const char *temp_dir; /* borrowed */
};

struct spool;

struct spool *spool_new(const struct spool_limits *limits);
void spool_free(struct spool *spool);
/* -ERR_TOO_BIG past the limit, -ERR_IO when the file cannot be written. */
int spool_add(struct spool *spool, const void *bytes, size_t n, struct err *err) MUST_USE;
/* Forgets what is behind the first n bytes. What spool_bytes() gave is not valid any more. */
void spool_cut(struct spool *spool, size_t n);
size_t spool_size(const struct spool *spool);
/* All bytes, valid until the spool is freed or added to; a large one is mapped, not read. */
int spool_bytes(struct spool *spool, struct slice *ret_bytes, struct err *err) MUST_USE;
/* The file behind a large spool for sending, or -1; stays the spool's. */
int spool_fd(const struct spool *spool);

DEFINE_AUTO(struct spool, spool_free);

#endif
