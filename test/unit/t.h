/*
 * t.h: what every unit test includes first: cmocka with its prerequisites, in the order that it wants, and
 * the base.  Tests only.
 */
#ifndef TEST_UNIT_T_H
#define TEST_UNIT_T_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/base.h"

/* A slice against a literal, with both in the message of a failure. */
#define assert_slice(got, literal) \
    do { \
        struct slice t_slice = (got); \
        char *t_text = xmemdup(t_slice.p, t_slice.n); \
        assert_string_equal(t_text, (literal)); \
        assert_int_equal(t_slice.n, strlen(literal)); \
        free(t_text); \
    } while (0)

#endif
