/*
 * sbuf: a growing byte string with a limit.  Appends return nothing; the first one that would pass the
 * limit sets `failed`, after which nothing is appended.  The owner looks at `failed` once, at the end.
 * There is always a NUL behind the bytes (once something was appended); bytes may themselves be NUL.
 */
#ifndef SHARED_BASE_SBUF_H
#define SHARED_BASE_SBUF_H

#include <stdarg.h>

#include "shared/base/base.h"

struct sbuf {
    char *p; /* NULL while empty and never grown */
    size_t len;
    size_t cap;
    size_t limit; /* most bytes it may hold */
    bool failed;
};

/* For texts that are bounded by something else already. */
#define SBUF_NO_LIMIT ((size_t)1 << 40)

#define SBUF_INIT(max) \
    { \
        .limit = (max) \
    }

void sbuf_release(struct sbuf *sb);
/* Forgets the bytes and the failure, keeps the memory. */
void sbuf_reset(struct sbuf *sb);
/* Makes room for n more bytes and returns where they go, or NULL (failed is set). Then sbuf_added(). */
char *sbuf_room(struct sbuf *sb, size_t n);
void sbuf_add(struct sbuf *sb, const void *bytes, size_t n);
void sbuf_addf(struct sbuf *sb, const char *fmt, ...) PRINTF(2, 3);
void sbuf_vaddf(struct sbuf *sb, const char *fmt, va_list args) PRINTF(2, 0);
/* Gives the bytes (NUL behind them) to the caller, who frees them; NULL if the limit was passed. */
char *sbuf_take(struct sbuf *sb, size_t *ret_len) MUST_USE;

static inline void sbuf_added(struct sbuf *sb, size_t n)
{
    sb->len += n;
    sb->p[sb->len] = '\0';
}

static inline void sbuf_addc(struct sbuf *sb, char c)
{
    sbuf_add(sb, &c, 1);
}

static inline void sbuf_adds(struct sbuf *sb, const char *s)
{
    sbuf_add(sb, s, strlen(s));
}

static inline void sbuf_add_slice(struct sbuf *sb, struct slice s)
{
    sbuf_add(sb, s.p, s.n);
}

static inline struct slice sbuf_slice(const struct sbuf *sb)
{
    return slice_of(sb->p ? sb->p : "", sb->len);
}

static inline void sbuf_release_auto(struct sbuf *sb)
{
    sbuf_release(sb);
}

#define AUTO_SBUF(name, max) AUTO(sbuf_release_auto) struct sbuf name = SBUF_INIT(max)

#endif
