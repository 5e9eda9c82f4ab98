#include "shared/base/javahash.h"

#include "shared/base/utf.h"

uint32_t java_hash(struct slice key)
{
    uint32_t h = 0;
    size_t used;

    for (size_t i = 0; i < key.n; i += used) {
        uint32_t cp = utf_decode(key.p + i, key.n - i, &used);
        if (cp >= 0x10000) {
            h = 31 * h + 0xd800 + ((cp - 0x10000) >> 10);
            cp = 0xdc00 + (cp & 0x3ff);
        }
        h = 31 * h + cp;
    }
    return h ^ h >> 16;
}

void java_hash_order(const struct slice *keys, size_t n, uint32_t initial_capacity, size_t *order)
{
    size_t capacity = initial_capacity;

    while (n > capacity / 4 * 3 + capacity % 4 * 3 / 4)
        capacity *= 2;
    /* a stable counting sort by bucket: doubling the table splits buckets without changing orders inside them
     */
    size_t *start = xcalloc(capacity + 1, sizeof(*start));
    uint32_t *bucket = xcalloc(n ? n : 1, sizeof(*bucket));
    for (size_t i = 0; i < n; i++) {
        bucket[i] = java_hash(keys[i]) & (uint32_t)(capacity - 1);
        start[bucket[i] + 1]++;
    }
    for (size_t i = 1; i <= capacity; i++)
        start[i] += start[i - 1];
    for (size_t i = 0; i < n; i++)
        order[start[bucket[i]]++] = i;
    free(bucket);
    free(start);
}

uint32_t java_hash_putall_capacity(size_t n)
{
    size_t least = n + n / 3 + 1; /* floor(n / 0.75 + 1) */
    uint32_t capacity = 1;

    while (capacity < least)
        capacity *= 2;
    return capacity;
}
