/*
 * base: the few macros and allocation helpers that every file uses.
 *
 * Memory: x*alloc() never returns NULL; when memory runs out the process ends with a message.  That is
 * safe here because every store transition has one commit point, and because everything that is sized
 * by a client is bounded before it is allocated.
 */
#ifndef SHARED_BASE_BASE_H
#define SHARED_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/banned.h"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A local that owns something: `AUTO(sbuf_release_auto) struct sbuf b = SBUF_INIT(LIMIT);` */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Makes free_fn##_auto() for AUTO out of a function that frees a `type *` (and accepts NULL). */
#define DEFINE_AUTO(type, free_fn) \
    static inline void free_fn##_auto(type **p) \
    { \
        free_fn(*p); \
    } \
    struct base_swallow_semicolon

/* Moves a pointer out of a variable that AUTO would free. */
#define TAKE(p) \
    __extension__({ \
        __typeof__(p) take_tmp = (p); \
        (p) = NULL; \
        take_tmp; \
    })

/* Bytes that somebody else owns; not NUL terminated, may contain NUL. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){ p, n };
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){ s, strlen(s) };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

void *xmalloc(size_t n) MUST_USE;
void *xcalloc(size_t count, size_t size) MUST_USE;
void *xrealloc(void *p, size_t n) MUST_USE;
char *xstrdup(const char *s) MUST_USE;
/* The copy has a NUL behind it. */
char *xmemdup(const void *p, size_t n) MUST_USE;
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) MUST_USE;

static inline void free_str_auto(char **p)
{
    free(*p);
}

#endif
