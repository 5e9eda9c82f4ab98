#include "tws/history.h"

#include <assert.h>

static void note_seen(struct history *history, struct semver version, bool released)
{
    /* versions grow, so the one that is looked for is nearly always the last */
    for (size_t i = history->seen_count; i > 0; i--) {
        struct history_version *seen = &history->seen[i - 1];
        if (semver_compare(seen->version, version) == 0) {
            seen->released = seen->released || released;
            return;
        }
    }
    history->seen[history->seen_count++] = (struct history_version){ version, released };
}

void history_of(const struct resolved_type *type, bool is_func, struct arena *arena,
                struct history *ret_history)
{
    const struct cat_module *module = type->module;
    size_t room = module->version_count + 1;
    struct history history = { 0 };

    history.holders = arena_alloc(arena, room * sizeof(*history.holders));
    history.seen = arena_alloc(arena, room * sizeof(*history.seen));
    for (size_t i = 0; i < module->version_count; i++) {
        const struct cat_version *version = module->versions[i];
        const struct rec_entry *entry = is_func ? cat_version_func(version, type->name->name)
                                                : cat_version_type(version, type->name->name);
        if (!entry)
            continue;
        note_seen(&history, entry->version, cat_effectively_released(module, version));
        if (semver_compare(entry->version, type->row->version) != 0 || (!is_func && !entry->supported))
            continue;
        history.holders[history.holder_count++] = version;
        history.any_released = history.any_released || version->released;
    }
    *ret_history = history;
}

int64_t history_first(const struct history *history, bool only_released)
{
    size_t i = 0;

    while (i < history->holder_count && only_released && !history->holders[i]->released)
        i++;
    assert(i < history->holder_count);
    return history->holders[i]->version;
}
