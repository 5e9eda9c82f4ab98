/*
 * The type checker beside a parse-only pass of yajl and beside MD5 alone, over the same bytes, in turns; the
 * least time of each counts.  Objects are generated: strings as in a genome (100 MB), numbers (100 MB), and
 * many of 2 kB.
 *
 *     bench_check [MB [strings|numbers|small]]
 */
#include <stdio.h>
#include <time.h>
#include <yajl/yajl_parse.h>

#include "dws/validate/wstyped_check.h"
#include "shared/base/digest.h"
#include "shared/base/sbuf.h"

enum { ROUNDS = 9, PIECE = 65536, DEFAULT_MB = 100 };

static uint64_t state = 88172645463325252u;

static uint64_t next_number(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % below;
}

static void put_letters(struct sbuf *out, const char *letters, size_t n)
{
    size_t count = strlen(letters);
    char *to = sbuf_room(out, n);

    for (size_t i = 0; i < n; i++)
        to[i] = letters[next_number(count)];
    sbuf_added(out, n);
}

/* One feature of a genome, keys in order. */
static void put_feature(struct sbuf *out)
{
    sbuf_addf(out, "{\"aliases\":[\"b%04u\",\"JW%u\"],\"dna_sequence\":\"", (unsigned)next_number(10000),
              (unsigned)next_number(10000));
    put_letters(out, "ACGT", 300 + next_number(1200));
    sbuf_addf(
        out,
        "\",\"function\":\"hypothetical protein; \\\"putative\\\" transporter %u\",\"id\":\"kb|g.0.peg.%u\",",
        (unsigned)next_number(100), (unsigned)next_number(1000000));
    sbuf_addf(out, "\"location\":[[\"NC_000913\",%u,\"+\",%u]],\"protein\":\"",
              (unsigned)next_number(4000000), (unsigned)next_number(2000));
    put_letters(out, "ACDEFGHIKLMNPQRSTVWY", 100 + next_number(400));
    sbuf_adds(out, "\",\"type\":\"CDS\"}");
}

static void put_row(struct sbuf *out)
{
    sbuf_addc(out, '[');
    for (int i = 0; i < 50; i++) {
        if (i)
            sbuf_addc(out, ',');
        if (i % 3 == 0)
            sbuf_addf(out, "%d", (int)next_number(1u << (1 + next_number(30))) - 1000);
        else if (i % 3 == 1)
            sbuf_addf(out, "%u.%u", (unsigned)next_number(1000), (unsigned)next_number(10000) * 10 + 1);
        else
            sbuf_addf(out, "%.16g", 1 + (double)next_number((uint64_t)1 << 53) * 0x1p-53 * 99);
    }
    sbuf_addc(out, ']');
}

static void generate(const char *key, void (*put)(struct sbuf *out), size_t size, struct sbuf *out)
{
    sbuf_addf(out, "{\"%s\":[", key);
    for (bool first = true; out->len < size || first; first = false) {
        if (!first)
            sbuf_addc(out, ',');
        put(out);
    }
    sbuf_adds(out, "]}");
}

static const char features_schema[] = "{\"type\":\"object\",\"original-type\":\"kidl-structure\","
                                      "\"additionalProperties\":true,\"required\":[\"features\"],"
                                      "\"properties\":{\"features\":{\"type\":\"array\",\"items\":{\"type\":"
                                      "\"object\",\"additionalProperties\":true,"
                                      "\"required\":[\"id\",\"type\"],\"properties\":{\"id\":{\"type\":"
                                      "\"string\"},\"type\":{\"type\":\"string\"},"
                                      "\"function\":{\"type\":\"string\"},\"dna_sequence\":{\"type\":"
                                      "\"string\"},\"protein\":{\"type\":\"string\"},"
                                      "\"aliases\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
                                      "\"location\":{\"type\":\"array\",\"items\":"
                                      "{\"type\":\"array\",\"minItems\":4,\"maxItems\":4,\"items\":[{"
                                      "\"type\":\"string\"},{\"type\":\"integer\"},"
                                      "{\"type\":\"string\"},{\"type\":\"integer\"}]}}}}}}}";
static const char rows_schema[] = "{\"type\":\"object\",\"original-type\":\"kidl-structure\","
                                  "\"additionalProperties\":true,\"required\":[\"rows\"],"
                                  "\"properties\":{\"rows\":{\"type\":\"array\",\"items\":{\"type\":"
                                  "\"array\",\"items\":{\"type\":\"number\"}}}}}";

/* Other processes do not count where one thread does all; they do where two are at work. */
static clockid_t clock_in_use = CLOCK_PROCESS_CPUTIME_ID;

static double now(void)
{
    struct timespec t;

    clock_gettime(clock_in_use, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "bench_check: %s failed\n", what);
        exit(1);
    }
}

static size_t piece_at(struct slice text, size_t at)
{
    return text.n - at < PIECE ? text.n - at : PIECE;
}

static double time_yajl(struct slice text, int times)
{
    double begin = now();

    for (int i = 0; i < times; i++) {
        yajl_handle h = yajl_alloc(NULL, NULL, NULL);
        for (size_t at = 0; at < text.n; at += PIECE)
            must(yajl_parse(h, (const unsigned char *)text.p + at, piece_at(text, at)) == yajl_status_ok,
                 "yajl");
        must(yajl_complete_parse(h) == yajl_status_ok, "yajl");
        yajl_free(h);
    }
    return now() - begin;
}

static double time_md5(struct slice text, int times)
{
    double begin = now();
    char hex[MD5_HEX + 1];

    for (int i = 0; i < times; i++) {
        struct md5_stream *s = md5_stream_new();
        for (size_t at = 0; at < text.n; at += PIECE)
            md5_stream_update(s, text.p + at, piece_at(text, at));
        md5_stream_final(s, hex);
        md5_stream_free(s);
    }
    return now() - begin;
}

static double time_check(struct check_program *program, struct slice text, int times,
                         const struct check_options *options)
{
    double begin = now();
    const struct check_result *result;
    size_t used;

    for (int i = 0; i < times; i++) {
        struct check_job *job = check_begin(program, options);
        for (size_t at = 0; at < text.n; at += PIECE)
            check_feed(job, text.p + at, piece_at(text, at), &used);
        must(check_end(job, &result) == CHECK_DONE && result->outcome == CHECK_VALID, "check");
        check_free(job);
    }
    return now() - begin;
}

/* The least time of all rounds: what else the machine does only ever adds. */
static void keep_least(double *least, double seconds)
{
    if (*least == 0 || seconds < *least)
        *least = seconds;
}

static void compare(const char *name, const char *schema, struct slice text, int times)
{
    static const struct check_options only = { .only_check = true }, whole = { .repeatable = true },
                                      single = { .repeatable = true, .no_threads = true };
    double yajl = 0, md5 = 0, check = 0, one_thread = 0, threads = 0, md5_on_wall = 0;
    char *problem = NULL;
    struct check_program *program =
        check_program_new((struct check_text){ schema, strlen(schema) }, &problem);

    must(program != NULL, "the schema");
    for (int i = 0; i < ROUNDS; i++) {
        keep_least(&check, time_check(program, text, times, &only));
        keep_least(&yajl, time_yajl(text, times));
        keep_least(&md5, time_md5(text, times));
        keep_least(&one_thread, time_check(program, text, times, &single));
        clock_in_use = CLOCK_MONOTONIC;
        keep_least(&threads, time_check(program, text, times, &whole));
        keep_least(&md5_on_wall, time_md5(text, times));
        clock_in_use = CLOCK_PROCESS_CPUTIME_ID;
    }
    printf("%-8s check / yajl %5.2f   whole answer / MD5 %5.2f   (one thread %5.2f)   check %6.0f MB/s\n",
           name, yajl / check, md5_on_wall / threads, md5 / one_thread, (double)text.n * times / 1e6 / check);
    fflush(stdout);
    check_program_unref(program);
}

/* What is measured: one object of all the bytes, or many of a size. */
static const struct scenario {
    const char *name, *key, *schema;
    void (*put)(struct sbuf *out);
    size_t size; /* 0: all */
} scenarios[] = {
    { "strings", "features", features_schema, put_feature, 0 },
    { "numbers", "rows", rows_schema, put_row, 0 },
    { "small", "features", features_schema, put_feature, 2000 },
};

int main(int argc, char **argv)
{
    size_t total = (argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_MB) * 1000000;
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        if (argc > 2 && strcmp(argv[2], s->name) != 0)
            continue;
        sbuf_reset(&text);
        generate(s->key, s->put, s->size ? s->size : total, &text);
        compare(s->name, s->schema, sbuf_slice(&text), s->size ? (int)(total / 4 / text.len) : 1);
    }
    return 0;
}
