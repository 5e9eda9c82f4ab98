/*
 * arena: memory for everything that lives as long as one compilation or one call, freed at once.
 * Allocation never fails (see base.h); arena_used() lets a caller that works on hostile input stop in time.
 * One arena belongs to one thread at a time.
 */
#ifndef SHARED_BASE_ARENA_H
#define SHARED_BASE_ARENA_H

#include "shared/base/base.h"

struct arena_block;

struct arena {
    struct arena_block *head;
    size_t used; /* bytes handed out */
};

#define ARENA_INIT \
    { \
        NULL, 0 \
    }

/* Aligned for any type, not cleared. */
void *arena_alloc(struct arena *arena, size_t n) MUST_USE;
void *arena_zalloc(struct arena *arena, size_t n) MUST_USE;
/* A NUL is put behind the copy. */
char *arena_memdup(struct arena *arena, const void *p, size_t n) MUST_USE;
char *arena_strdup(struct arena *arena, const char *s) MUST_USE;
struct slice arena_slice(struct arena *arena, struct slice s) MUST_USE;
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF(2, 3) MUST_USE;
void arena_release(struct arena *arena);

static inline size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

static inline void arena_release_auto(struct arena *arena)
{
    arena_release(arena);
}

#define AUTO_ARENA(name) AUTO(arena_release_auto) struct arena name = ARENA_INIT

#endif
