/* A program of somebody else: the checker's one header, and libwstyped-check.a alone at the linker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dws/validate/wstyped_check.h"

static const char schema[] =
    "{\"type\":\"object\",\"original-type\":\"kidl-structure\",\"additionalProperties\":true,"
    "\"required\":[\"e\"],\"properties\":{\"e\":{\"type\":\"number\",\"maximum\":1E+30},\"s\":{\"type\":"
    "\"string\"}}}";

static enum check_status check(const char *object, const struct check_result **ret,
                               struct check_job **ret_job)
{
    char *problem = NULL;
    size_t used;
    struct check_program *program =
        check_program_new((struct check_text){ schema, sizeof(schema) - 1 }, &problem);

    assert_non_null(program);
    *ret_job = check_begin(program, &(struct check_options){ .max_ids = 0 });
    check_program_unref(program);
    check_feed(*ret_job, object, strlen(object), &used);
    return check_end(*ret_job, ret);
}

static void test_valid(void **state)
{
    const struct check_result *result;
    struct check_job *job;

    (void)state;
    assert_int_equal(check("{\"s\": \"x\", \"e\": 1e23}", &result, &job), CHECK_DONE);
    assert_int_equal(result->outcome, CHECK_VALID);
    assert_int_equal(result->size, strlen("{\"e\":9.999999999999999E22,\"s\":\"x\"}"));
    assert_int_equal(strlen(result->md5), 32);
    check_free(job);
}

static void test_invalid(void **state)
{
    const struct check_result *result;
    struct check_job *job;
    size_t n;

    (void)state;
    assert_int_equal(check("{\"s\":1,\"e\":1e31}", &result, &job), CHECK_DONE);
    assert_int_equal(result->outcome, CHECK_INVALID);
    assert_int_equal(result->error_count, 2);
    char *message = check_message(result, (struct check_text){ "Object #1", 9 }, &n);
    assert_non_null(
        strstr(message, "Number value given (1.0E31) was more than maximum value accepted (1.0E30"));
    free(message);
    check_free(job);
}

static void test_broken(void **state)
{
    const struct check_result *result;
    struct check_job *job;

    (void)state;
    assert_int_equal(check("{\"s\":", &result, &job), CHECK_JSON);
    assert_non_null(strstr(check_problem(job).p, "Unexpected end-of-input"));
    check_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
