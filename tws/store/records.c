#include "tws/store/records.h"

void change_set_init(struct change_set *set, struct arena *arena)
{
    *set = (struct change_set){ .arena = arena };
    set->expects_end = &set->expects;
    set->changes_end = &set->changes;
}

void change_set_expect(struct change_set *set, bool exists, const struct rec_pointers *pointers)
{
    struct expectation *expect = arena_zalloc(set->arena, sizeof(*expect));

    expect->exists = exists;
    expect->pointers = *pointers;
    *set->expects_end = expect;
    set->expects_end = &expect->next;
}

struct change *change_set_add(struct change_set *set, enum change_kind kind)
{
    struct change *change = arena_zalloc(set->arena, sizeof(*change));

    change->kind = kind;
    *set->changes_end = change;
    set->changes_end = &change->next;
    set->change_count++;
    return change;
}
