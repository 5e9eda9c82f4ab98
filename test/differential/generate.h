/*
 * generate: random schemas as the type compiler makes them, and random objects that mostly fit them.  Only
 * tests use it. The same seed gives the same texts.
 */
#ifndef TEST_DIFFERENTIAL_GENERATE_H
#define TEST_DIFFERENTIAL_GENERATE_H

#include "shared/base/sbuf.h"

struct generator {
    uint64_t state;
};

uint64_t generate_number(struct generator *g, uint64_t below);
void generate_schema(struct generator *g, struct sbuf *out);
/* wrong: how many of a thousand values do not fit. */
void generate_object(struct generator *g, struct slice schema, unsigned wrong, struct sbuf *out);

#endif
