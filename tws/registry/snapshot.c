#include "tws/registry/snapshot.h"

#include <time.h>

#include "shared/base/clock.h"

enum { SLOT_SHIFT = 48 };

static const uint64_t COUNT_MASK = ((uint64_t)1 << SLOT_SHIFT) - 1;

struct snapshot_table {
    _Atomic uint64_t head; /* slot << 48 | references taken since it was published */
    _Atomic(struct snapshot *) slots[SNAPSHOT_SLOTS]; /* NULL: free */
    atomic_size_t users; /* the owner of the table and every snapshot in a slot */
    unsigned hint;       /* where to look for the next free slot */
};

static void table_drop(struct snapshot_table *table)
{
    if (atomic_fetch_sub_explicit(&table->users, 1, memory_order_acq_rel) == 1)
        free(table);
}

/* Nobody refers to the snapshot any more: its slot can be used again. */
static void retire(struct snapshot *snap)
{
    struct snapshot_table *table = snap->table;
    unsigned slot = snap->slot;

    snapshot_free(snap);
    atomic_store_explicit(&table->slots[slot], NULL, memory_order_release);
    table_drop(table);
}

/*
 * refs starts at 0 and falls below it while readers that are counted in the head give their references back.
 * So only after the publisher of the next snapshot has added the head's count can it come down to 0 from 1.
 */
void catalogue_unref(const struct catalogue *cat)
{
    struct snapshot *snap = (struct snapshot *)(uintptr_t)cat;

    if (snap && atomic_fetch_sub_explicit(&snap->refs, 1, memory_order_acq_rel) == 1)
        retire(snap);
}

static void settle(struct snapshot_table *table, uint64_t old_head)
{
    struct snapshot *old = atomic_load_explicit(&table->slots[old_head >> SLOT_SHIFT], memory_order_relaxed);
    int64_t taken = (int64_t)(old_head & COUNT_MASK);

    if (atomic_fetch_add_explicit(&old->refs, taken, memory_order_acq_rel) + taken == 0)
        retire(old);
}

static void fill_slot(struct snapshot_table *table, unsigned slot, struct snapshot *snap)
{
    atomic_store_explicit(&snap->refs, 0, memory_order_relaxed);
    snap->table = table;
    snap->slot = slot;
    atomic_fetch_add_explicit(&table->users, 1, memory_order_relaxed);
    atomic_store_explicit(&table->slots[slot], snap, memory_order_relaxed);
}

struct snapshot_table *snapshot_table_new(struct snapshot *first)
{
    struct snapshot_table *table = xcalloc(1, sizeof(*table));

    atomic_init(&table->users, 1);
    fill_slot(table, 0, first);
    atomic_store_explicit(&table->head, 0, memory_order_release);
    return table;
}

void snapshot_table_close(struct snapshot_table *table)
{
    if (!table)
        return;
    settle(table, atomic_exchange_explicit(&table->head, COUNT_MASK, memory_order_acq_rel));
    table_drop(table);
}

const struct catalogue *snapshot_take(struct snapshot_table *table)
{
    uint64_t head = atomic_fetch_add_explicit(&table->head, 1, memory_order_acquire);

    return &atomic_load_explicit(&table->slots[head >> SLOT_SHIFT], memory_order_relaxed)->pub;
}

int snapshot_reserve(struct snapshot_table *table, uint64_t deadline_us, unsigned *ret_slot, struct err *err)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    for (;;) {
        for (unsigned i = 0; i < SNAPSHOT_SLOTS; i++) {
            unsigned slot = (table->hint + i) % SNAPSHOT_SLOTS;
            if (!atomic_load_explicit(&table->slots[slot], memory_order_acquire)) {
                table->hint = (slot + 1) % SNAPSHOT_SLOTS;
                *ret_slot = slot;
                return 0;
            }
        }
        if (clock_us() >= deadline_us)
            return err_set(err, ERR_BUSY, "Too many old states of the catalogue are still being read");
        nanosleep(&pause, NULL);
    }
}

void snapshot_publish(struct snapshot_table *table, unsigned slot, struct snapshot *next)
{
    fill_slot(table, slot, next);
    settle(table, atomic_exchange_explicit(&table->head, (uint64_t)slot << SLOT_SHIFT, memory_order_acq_rel));
}
