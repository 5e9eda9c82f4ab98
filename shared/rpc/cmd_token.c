#include "shared/rpc/cmd_token.h"

#include <getopt.h>
#include <stdio.h>

#include "shared/base/config.h"
#include "shared/base/tokens.h"
#include "shared/base/typename.h"

enum { TOKEN_BYTES = 32, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct arguments {
    const char *file, *config;
    enum token_role role;
    bool role_given;
    const char *name;
};

static const char usage_text[] =
    "usage: wstyped token add NAME [--role user|read-admin|admin] [--file FILE | --config FILE]\n"
    "       wstyped token list [--file FILE | --config FILE]\n"
    "       wstyped token remove NAME [--file FILE | --config FILE]\n\n"
    "add     makes a token for a user and prints it; it is shown this once, the file has only its SHA-256\n"
    "list    prints the users, their roles and the beginning of each hash\n"
    "remove  takes all tokens of a user out\n\n"
    "  --role ROLE    what the user may do as an administrator; default: user, which is nothing\n"
    "  --file FILE    the tokens file\n"
    "  --config FILE  deploy.cfg whose auth-tokens-file is meant; default: $KB_DEPLOYMENT_CONFIG\n\n"
    "A running service reads its tokens file again on SIGHUP.\n";

static int fail(const struct err *err)
{
    fprintf(stderr, "wstyped token: %s\n", err_text(err));
    return STATUS_FAILED;
}

static int run_add(const char *file, const struct arguments *arguments)
{
    char token[2 * TOKEN_BYTES + 1], hash[SHA256_HEX + 1];
    AUTO_ERR(err);

    random_hex(token, TOKEN_BYTES);
    token[2 * TOKEN_BYTES] = '\0';
    sha256_hex(slice_str(token), hash);
    if (tokens_add(file, arguments->name, arguments->role, hash, &err) < 0)
        return fail(&err);
    printf("%s\n", token);
    fprintf(stderr, "%s (%s) was added to %s; a running service takes it over on SIGHUP\n", arguments->name,
            token_role_name(arguments->role), file);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct token_row *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order ? order : strcmp(left->hash, right->hash);
}

static int run_list(const char *file, const struct arguments *arguments UNUSED)
{
    enum { SHOWN_DIGITS = 12 };
    AUTO_ERR(err);
    AUTO(tokens_free_auto) struct tokens *tokens = tokens_read(file, &err);

    if (!tokens)
        return fail(&err);
    if (tokens->count)
        qsort(tokens->rows, tokens->count, sizeof(*tokens->rows), by_name);
    for (size_t i = 0; i < tokens->count; i++)
        printf("%-20s  %-10s  %.*s...\n", tokens->rows[i].name, token_role_name(tokens->rows[i].role),
               SHOWN_DIGITS, tokens->rows[i].hash);
    return 0;
}

static int run_remove(const char *file, const struct arguments *arguments)
{
    AUTO_ERR(err);
    size_t count;

    if (tokens_remove(file, arguments->name, &count, &err) < 0)
        return fail(&err);
    if (count == 0) {
        err_set(&err, ERR_ARGUMENT, "there is no user %s in %s", arguments->name, file);
        return fail(&err);
    }
    printf("%zu token%s of %s removed from %s\n", count, count == 1 ? "" : "s", arguments->name, file);
    return 0;
}

static const struct action {
    const char *name;
    bool needs_name, takes_role;
    int (*run)(const char *file, const struct arguments *arguments);
} actions[] = {
    { "add", true, true, run_add },
    { "list", false, false, run_list },
    { "remove", true, false, run_remove },
};

static int misused(const char *what, const char *word)
{
    fprintf(stderr, "wstyped token: %s%s%s; see wstyped token --help\n", what, word ? " " : "",
            word ? word : "");
    return STATUS_USAGE;
}

/* 0, or the exit status plus one. */
static int read_options(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        { "role", required_argument, NULL, 'r' },
        { "file", required_argument, NULL, 'f' },
        { "config", required_argument, NULL, 'c' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            return 1;
        }
        if (c == 'f') {
            ret->file = optarg;
        } else if (c == 'c') {
            ret->config = optarg;
        } else if (c == 'r') {
            ret->role_given = true;
            if (!token_role_parse(slice_str(optarg), &ret->role))
                return 1 + misused("the role must be user, read-admin or admin, not", optarg);
        } else {
            return 1 + misused("wrong arguments", NULL);
        }
    }
    return 0;
}

static int check_arguments(const struct action *action, int argc, char **argv, struct arguments *ret)
{
    if (optind < argc)
        ret->name = action->needs_name ? argv[optind++] : NULL;
    if (action->needs_name && !ret->name)
        return misused("the name of the user is missing", NULL);
    if (optind < argc)
        return misused("what is", argv[optind]);
    if (ret->role_given && !action->takes_role)
        return misused("--role is only for", "add");
    if (ret->file && ret->config)
        return misused("give --file or --config, not both", NULL);
    return 0;
}

static int run_action(const struct action *action, const struct arguments *arguments)
{
    AUTO_SBUF(problems, 1 << 20);
    AUTO(config_free_auto) struct config *config = NULL;
    const char *file = arguments->file;

    if (!file) {
        config = config_load(arguments->config, &problems);
        if (!config) {
            fprintf(stderr, "%s", problems.p ? problems.p : "");
            return STATUS_FAILED;
        }
        file = config->auth_tokens_file;
    }
    if (!file) {
        fprintf(stderr, "wstyped token: there is no auth-tokens-file in %s; give --file\n", config->path);
        return STATUS_FAILED;
    }
    return action->run(file, arguments);
}

int cmd_token(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int rc = read_options(argc, argv, &arguments);

    if (rc)
        return rc - 1;
    if (optind >= argc)
        return misused("add, list or remove?", NULL);
    const char *word = argv[optind++];
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, word) == 0) {
            rc = check_arguments(&actions[i], argc, argv, &arguments);
            return rc ? rc : run_action(&actions[i], &arguments);
        }
    }
    return misused("there is no", word);
}
