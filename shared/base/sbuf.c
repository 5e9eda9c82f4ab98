#include "shared/base/sbuf.h"

#include <stdio.h>

enum { FIRST_CAPACITY = 64 };

void sbuf_release(struct sbuf *sb)
{
    free(sb->p);
    *sb = (struct sbuf)SBUF_INIT(sb->limit);
}

void sbuf_reset(struct sbuf *sb)
{
    sb->len = 0;
    sb->failed = false;
    if (sb->p)
        sb->p[0] = '\0';
}

char *sbuf_room(struct sbuf *sb, size_t n)
{
    if (sb->failed || n > sb->limit - sb->len) {
        sb->failed = true;
        return NULL;
    }
    if (sb->len + n + 1 > sb->cap) {
        size_t cap = sb->cap ? sb->cap : FIRST_CAPACITY;
        while (cap < sb->len + n + 1)
            cap *= 2;
        sb->p = xrealloc(sb->p, cap);
        sb->cap = cap;
    }
    return sb->p + sb->len;
}

void sbuf_add(struct sbuf *sb, const void *bytes, size_t n)
{
    char *to = sbuf_room(sb, n);

    if (!to)
        return;
    if (n)
        memcpy(to, bytes, n);
    sbuf_added(sb, n);
}

void sbuf_vaddf(struct sbuf *sb, const char *fmt, va_list args)
{
    va_list again;

    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *to = n < 0 ? NULL : sbuf_room(sb, (size_t)n);
    if (!to)
        return;
    vsnprintf(to, (size_t)n + 1, fmt, args);
    sbuf_added(sb, (size_t)n);
}

void sbuf_addf(struct sbuf *sb, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    sbuf_vaddf(sb, fmt, args);
    va_end(args);
}

char *sbuf_take(struct sbuf *sb, size_t *ret_len)
{
    if (sb->failed)
        return NULL;
    char *p = sb->p ? sb->p : xmemdup("", 0);
    if (ret_len)
        *ret_len = sb->len;
    *sb = (struct sbuf)SBUF_INIT(sb->limit);
    return p;
}
