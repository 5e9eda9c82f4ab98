#include "shared/base/uth.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t secret[2];

void uth_fatal(const char *what)
{
    fprintf(stderr, "hash table: %s\n", what);
    abort();
}

static void make_secret(void)
{
    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        uth_fatal("no random bytes for the key");
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t uth_hash(const void *bytes, size_t n)
{
    pthread_once(&once, make_secret);
    struct sip s = { secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573 };
    const unsigned char *p = bytes;
    uint64_t word;

    for (size_t left = n; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        sip_word(&s, word);
    }
    word = (uint64_t)n << 56;
    for (size_t i = 0; i < n % 8; i++)
        word |= (uint64_t)p[i] << (8 * i);
    sip_word(&s, word);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
