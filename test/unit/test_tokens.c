#include "test/unit/t.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/sbuf.h"
#include "shared/base/tokens.h"
#include "shared/rpc/cmd_token.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HASH_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

struct place {
    char dir[64], file[96];
};

static int make_place(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    snprintf(place->dir, sizeof(place->dir), "/tmp/wstyped-tokens-XXXXXX");
    if (!mkdtemp(place->dir))
        return -1;
    snprintf(place->file, sizeof(place->file), "%s/tokens", place->dir);
    *state = place;
    return 0;
}

static int drop_place(void **state)
{
    static const char *const endings[] = { "", ".lock", ".new" };
    struct place *place = *state;

    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", place->file, endings[i]);
        unlink(path);
    }
    rmdir(place->dir);
    free(place);
    return 0;
}

static void put(const struct place *place, const char *text)
{
    FILE *f = fopen(place->file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void expect_file(const struct place *place, const char *text)
{
    char got[4096];
    FILE *f = fopen(place->file, "r");

    assert_non_null(f);
    size_t n = fread(got, 1, sizeof(got) - 1, f);
    got[n] = '\0';
    fclose(f);
    assert_string_equal(got, text);
}

static void reads_users_roles_and_comments(void **state)
{
    struct place *place = *state;
    AUTO_ERR(err);

    put(place, "# users of the site\n\nbob  user  " HASH_B "\r\n\t ann\tadmin " HASH_A
               "  \n  # end\nbob read-admin " HASH_C);
    AUTO(tokens_free_auto) struct tokens *tokens = tokens_read(place->file, &err);
    assert_non_null(tokens);
    assert_int_equal(tokens->count, 3);
    const struct token_row *ann = tokens_find(tokens, HASH_A), *bob = tokens_find(tokens, HASH_B);
    assert_string_equal(ann->name, "ann");
    assert_int_equal(ann->role, TOKEN_ADMIN);
    assert_string_equal(bob->name, "bob");
    assert_int_equal(bob->role, TOKEN_USER);
    assert_int_equal(tokens_find(tokens, HASH_C)->role, TOKEN_READ_ADMIN);
    assert_null(tokens_find(tokens, "dd"));
    assert_int_equal(chmod(place->file, 0600), 0);
    struct tokens *again = tokens_read(place->file, &err);
    assert_non_null(again);
    assert_false(again->world_readable);
    tokens_free(again);
    assert_int_equal(chmod(place->file, 0644), 0);
    again = tokens_read(place->file, &err);
    assert_non_null(again);
    assert_true(again->world_readable);
    tokens_free(again);
    tokens_free(NULL);
}

static void names_file_and_line_of_an_error(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        { "ann admin\n", ":1: expected a name, a role and the SHA-256 of a token" },
        { "#\nann admin " HASH_A " x\n", ":2: expected a name, a role and the SHA-256 of a token" },
        { "\n\nann boss " HASH_A "\n", ":3: the role must be user, read-admin or admin" },
        { "ann user abc\n", ":1: the SHA-256 of the token must be 64 lower-case hex digits" },
        { "a!b user " HASH_A "\n", ":1: Illegal character in user name a!b: !" },
        { "ann user " HASH_A "\nbob user " HASH_A "\n", "have the same token" },
    };
    struct place *place = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ERR(err);
        put(place, cases[i].text);
        assert_null(tokens_read(place->file, &err));
        assert_non_null(strstr(err_text(&err), cases[i].problem));
        assert_non_null(strstr(err_text(&err), place->file));
    }
}

static void a_missing_file_or_a_folder_is_an_error(void **state)
{
    struct place *place = *state;
    AUTO_ERR(missing);
    AUTO_ERR(folder);
    size_t count;

    assert_null(tokens_read(place->file, &missing));
    assert_int_equal(missing.code, ERR_IO);
    assert_non_null(strstr(err_text(&missing), "No such file"));
    assert_null(tokens_read(place->dir, &folder));
    assert_non_null(strstr(err_text(&folder), "it is not a file"));
    AUTO_ERR(err);
    assert_int_equal(tokens_remove(place->file, "ann", &count, &err), -ERR_IO);
}

static void adds_and_removes_users(void **state)
{
    struct place *place = *state;
    AUTO_ERR(err);
    size_t count = 0;
    struct stat st;

    assert_int_equal(tokens_add(place->file, "ann", TOKEN_ADMIN, HASH_A, &err), 0);
    assert_int_equal(stat(place->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tokens_add(place->file, "bob", TOKEN_USER, HASH_B, &err), 0);
    expect_file(place, "ann  admin  " HASH_A "\nbob  user  " HASH_B "\n");

    put(place, "# kept\nann admin " HASH_A);
    assert_int_equal(tokens_add(place->file, "ann", TOKEN_USER, HASH_B, &err), 0);
    expect_file(place, "# kept\nann admin " HASH_A "\nann  user  " HASH_B "\n");
    assert_int_equal(tokens_remove(place->file, "nobody", &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(tokens_remove(place->file, "ann", &count, &err), 0);
    assert_int_equal(count, 2);
    expect_file(place, "# kept\n");
}

static void does_not_touch_a_file_that_is_wrong(void **state)
{
    struct place *place = *state;
    AUTO_ERR(err);
    AUTO_ERR(name);

    put(place, "ann boss\n");
    assert_true(tokens_add(place->file, "bob", TOKEN_USER, HASH_B, &err) < 0);
    assert_non_null(strstr(err_text(&err), ":1: expected a name"));
    expect_file(place, "ann boss\n");
    assert_true(tokens_add(place->file, "b b", TOKEN_USER, HASH_B, &name) < 0);
    expect_file(place, "ann boss\n");
}

struct adder {
    const struct place *place;
    char letter;
    int failures;
};

static void *add_some(void *arg)
{
    struct adder *adder = arg;

    for (int i = 0; i < 10; i++) {
        AUTO_ERR(err);
        char name[16], hash[SHA256_HEX + 1];
        snprintf(name, sizeof(name), "%c%d", adder->letter, i);
        sha256_hex(slice_str(name), hash);
        adder->failures += tokens_add(adder->place->file, name, TOKEN_USER, hash, &err) < 0;
    }
    return NULL;
}

static void loses_nothing_when_many_add(void **state)
{
    struct place *place = *state;
    struct adder adders[3] = { { place, 'a', 0 }, { place, 'b', 0 }, { place, 'c', 0 } };
    pthread_t threads[3];
    AUTO_ERR(err);

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_some, &adders[i]), 0);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(adders[i].failures, 0);
    }
    AUTO(tokens_free_auto) struct tokens *tokens = tokens_read(place->file, &err);
    assert_non_null(tokens);
    assert_int_equal(tokens->count, 30);
}

/* Runs the command with its output in files of the place; gives the exit status and what went to standard
 * output. */
static int run(const struct place *place, char *ret_out, size_t size, const char *const *words)
{
    char *argv[12] = { NULL };
    char out_path[128];
    int argc = 0, saved_out = dup(1), saved_err = dup(2);

    snprintf(out_path, sizeof(out_path), "%s/out", place->dir);
    for (; words[argc]; argc++)
        argv[argc] = xstrdup(words[argc]);
    fflush(stdout);
    FILE *out = fopen(out_path, "w+");
    FILE *sink = fopen("/dev/null", "w");
    assert_true(out && sink && dup2(fileno(out), 1) == 1 && dup2(fileno(sink), 2) == 2);
    int status = cmd_token(argc, argv);
    fflush(stdout);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    rewind(out);
    size_t n = fread(ret_out, 1, size - 1, out);
    ret_out[n] = '\0';
    fclose(out);
    fclose(sink);
    unlink(out_path);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return status;
}

#define RUN(...) run(place, out, sizeof(out), (const char *const[]){ "token", __VA_ARGS__, NULL })

static void the_command_makes_a_token_that_works(void **state)
{
    struct place *place = *state;
    char out[4096], hash[SHA256_HEX + 1];
    AUTO_ERR(err);

    assert_int_equal(RUN("add", "ann", "--role", "admin", "--file", place->file), 0);
    assert_int_equal(strlen(out), 65);
    out[64] = '\0';
    sha256_hex(slice_str(out), hash);
    struct tokens *tokens = tokens_read(place->file, &err);
    assert_non_null(tokens);
    assert_int_equal(tokens->count, 1);
    assert_string_equal(tokens_find(tokens, hash)->name, "ann");
    assert_int_equal(tokens_find(tokens, hash)->role, TOKEN_ADMIN);
    tokens_free(tokens);

    assert_int_equal(RUN("--file", place->file, "add", "bob"), 0);
    assert_int_equal(RUN("list", "--file", place->file), 0);
    assert_non_null(strstr(out, "ann                   admin       "));
    assert_non_null(strstr(out, "bob                   user        "));
    assert_null(strstr(out, hash));
    assert_int_equal(RUN("remove", "ann", "--file", place->file), 0);
    assert_non_null(strstr(out, "1 token of ann removed"));
    assert_int_equal(RUN("remove", "ann", "--file", place->file), 1);
}

static void the_command_refuses_wrong_arguments(void **state)
{
    struct place *place = *state;
    char out[8192];

    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(out, "usage: wstyped token add NAME"));
    assert_int_equal(RUN("add", "--file", place->file), 2);
    assert_int_equal(RUN("add", "a", "b", "--file", place->file), 2);
    assert_int_equal(RUN("add", "a", "--role", "king", "--file", place->file), 2);
    assert_int_equal(RUN("list", "a", "--file", place->file), 2);
    assert_int_equal(RUN("list", "--role", "user", "--file", place->file), 2);
    assert_int_equal(RUN("list", "--file", place->file, "--config", "x"), 2);
    assert_int_equal(RUN("dance"), 2);
    assert_int_equal(run(place, out, sizeof(out), (const char *const[]){ "token", NULL }), 2);
    assert_int_equal(RUN("add", "a b", "--file", place->file), 1);
    assert_int_equal(RUN("list", "--file", place->file), 1);
    assert_int_equal(RUN("list", "--config", place->file), 1);
    assert_int_equal(access(place->file, F_OK), -1);
}

static void the_command_finds_the_file_through_the_config(void **state)
{
    struct place *place = *state;
    char config[128], out[8192];
    AUTO_ERR(err);

    snprintf(config, sizeof(config), "%s/deploy.cfg", place->dir);
    FILE *f = fopen(config, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "[Workspace]\ntype-database-file = %s/db\nauth-tokens-file = %s\n", place->dir,
                        place->file) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(RUN("add", "ann", "--config", config), 0);
    AUTO(tokens_free_auto) struct tokens *tokens = tokens_read(place->file, &err);
    assert_non_null(tokens);
    assert_int_equal(tokens->count, 1);
    unlink(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_users_roles_and_comments, make_place, drop_place),
        cmocka_unit_test_setup_teardown(names_file_and_line_of_an_error, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_missing_file_or_a_folder_is_an_error, make_place, drop_place),
        cmocka_unit_test_setup_teardown(adds_and_removes_users, make_place, drop_place),
        cmocka_unit_test_setup_teardown(does_not_touch_a_file_that_is_wrong, make_place, drop_place),
        cmocka_unit_test_setup_teardown(loses_nothing_when_many_add, make_place, drop_place),
        cmocka_unit_test_setup_teardown(the_command_makes_a_token_that_works, make_place, drop_place),
        cmocka_unit_test_setup_teardown(the_command_refuses_wrong_arguments, make_place, drop_place),
        cmocka_unit_test_setup_teardown(the_command_finds_the_file_through_the_config, make_place,
                                        drop_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
