#include "tws/kidl/names.h"

#include "shared/base/utf.h"
#include "shared/base/uth.h"

/* Up to here comparing with all is faster than hashing. */
enum { FEW = 8 };

static uint32_t *find_slot(const struct names *names, struct slice name)
{
    size_t mask = names->slot_count - 1;
    size_t i = (size_t)uth_hash(name.p, name.n) & mask;

    while (names->slots[i] && !slice_eq(names->entries[names->slots[i] - 1].name, name))
        i = (i + 1) & mask;
    return &names->slots[i];
}

static struct name_entry *find(const struct names *names, struct slice name)
{
    if (names->slots) {
        uint32_t slot = *find_slot(names, name);
        return slot ? &names->entries[slot - 1] : NULL;
    }
    for (size_t i = 0; i < names->count; i++)
        if (slice_eq(names->entries[i].name, name))
            return &names->entries[i];
    return NULL;
}

void *names_get(const struct names *names, struct slice name)
{
    struct name_entry *entry = find(names, name);

    return entry ? entry->value : NULL;
}

static void index_all(struct names *names, struct arena *arena)
{
    names->slot_count = names->cap * 2;
    names->slots = arena_zalloc(arena, names->slot_count * sizeof(*names->slots));
    for (size_t i = 0; i < names->count; i++)
        *find_slot(names, names->entries[i].name) = (uint32_t)i + 1;
}

static void grow(struct names *names, struct arena *arena)
{
    size_t cap = names->cap ? names->cap * 2 : FEW / 2;
    struct name_entry *entries = arena_alloc(arena, cap * sizeof(*entries));

    if (names->count)
        memcpy(entries, names->entries, names->count * sizeof(*entries));
    names->entries = entries;
    names->cap = cap;
    if (cap > FEW)
        index_all(names, arena);
}

void names_put(struct names *names, struct arena *arena, struct slice name, void *value)
{
    struct name_entry *entry = find(names, name);

    if (entry) {
        entry->value = value;
        return;
    }
    if (names->count == names->cap)
        grow(names, arena);
    names->entries[names->count] = (struct name_entry){ name, value };
    if (names->slots)
        *find_slot(names, name) = (uint32_t)names->count + 1;
    names->count++;
}

static int compare_entries(const void *a, const void *b)
{
    return utf_compare(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

void names_sort(struct names *names, struct arena *arena)
{
    if (names->count > 1)
        qsort(names->entries, names->count, sizeof(*names->entries), compare_entries);
    if (names->slots)
        index_all(names, arena);
}
