#include "shared/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

struct arena_block {
    struct arena_block *next;
    size_t cap;
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

enum { BLOCK_BYTES = 8192 };

static struct arena_block *add_block(struct arena *arena, size_t n)
{
    size_t cap = n > BLOCK_BYTES / 4 ? n : BLOCK_BYTES;
    struct arena_block *b = xmalloc(sizeof(*b) + cap);

    b->cap = cap;
    b->used = 0;
    /* a block made for one large thing goes second, so that the rest of the first one stays in use */
    if (cap != BLOCK_BYTES && arena->head) {
        b->next = arena->head->next;
        arena->head->next = b;
    } else {
        b->next = arena->head;
        arena->head = b;
    }
    return b;
}

void *arena_alloc(struct arena *arena, size_t n)
{
    size_t rounded = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct arena_block *b = arena->head;

    if (!b || b->cap - b->used < rounded)
        b = add_block(arena, rounded);
    void *p = b->bytes + b->used;
    b->used += rounded;
    arena->used += rounded;
    return p;
}

void *arena_zalloc(struct arena *arena, size_t n)
{
    return memset(arena_alloc(arena, n), 0, n);
}

char *arena_memdup(struct arena *arena, const void *p, size_t n)
{
    char *copy = arena_alloc(arena, n + 1);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_memdup(arena, s, strlen(s));
}

struct slice arena_slice(struct arena *arena, struct slice s)
{
    return slice_of(arena_memdup(arena, s.p, s.n), s.n);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        abort();
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

void arena_release(struct arena *arena)
{
    for (struct arena_block *b = arena->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *arena = (struct arena)ARENA_INIT;
}
