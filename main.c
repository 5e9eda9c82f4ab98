/*
 * main: the table of subcommands; the only file that sees both modes.
 */
#include <getopt.h>
#include <stdio.h>

#include "dws/ask.h"
#include "dws/cmd_check.h"
#include "dws/dws.h"
#include "shared/base/cmd_config.h"
#include "shared/base/config.h"
#include "shared/rpc/cmd_token.h"
#include "shared/rpc/service.h"
#include "tws/cmd_compile.h"
#include "tws/cmd_fsck.h"
#include "tws/spec_file.h"
#include "tws/tws.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
};

static int cmd_serve(int argc, char **argv);
static int cmd_check_object(int argc, char **argv);
static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
    { "serve", cmd_serve, "run the service in the foreground, as TWS or DWS as the config says" },
    { "compile", cmd_compile, "compile a typespec offline and print its JSON schemas" },
    { "check", cmd_check_object, "check an object against a type, as a workspace would before it saves it" },
    { "config", cmd_config, "check a deploy.cfg, explain the keys, print an example" },
    { "token", cmd_token, "add, list and remove users of a tokens file" },
    { "fsck", cmd_fsck, "check a type database, and mend what can be mended" },
    { "version", cmd_version, "print the versions" },
    { "help", cmd_help, "print this text" },
};

static int cmd_help(int argc UNUSED, char **argv UNUSED)
{
    printf("wstyped: serves versioned types (TWS), or delegates to the server that does (DWS)\n\n"
           "usage: wstyped COMMAND [ARGUMENTS]        wstyped COMMAND --help tells more\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].what);
    return 0;
}

/* The compiler is the TWS's, the checker the DWS's. */
static int cmd_check_object(int argc, char **argv)
{
    static const struct check_source source = { .schema_of = spec_file_schema, .schema_from = ask_schema };

    return cmd_check(argc, argv, &source);
}

static int cmd_version(int argc UNUSED, char **argv UNUSED)
{
    printf("wstyped %s, equal to workspace %s, delegation protocol %d\n", WSTYPED_VERSION, SERVICE_VERSION,
           PROTOCOL_VERSION);
    return 0;
}

static void serve_usage(FILE *out)
{
    fprintf(out, "usage: wstyped serve [--config FILE] [--ready-file PATH]\n\n"
                 "Serves in the foreground until SIGTERM, which answers what is in progress first.\n\n"
                 "  --config FILE      deploy.cfg; default: $KB_DEPLOYMENT_CONFIG\n"
                 "  --ready-file PATH  written when the service can answer: its URL, role and pid as JSON\n");
}

static int serve(const struct config *config, const char *ready_file)
{
    AUTO_ERR(err);
    int rc =
        config->role == CONFIG_DWS ? dws_run(config, ready_file, &err) : tws_run(config, ready_file, &err);

    if (rc < 0)
        fprintf(stderr, "wstyped: %s\n", err_text(&err));
    return rc < 0 ? 1 : rc;
}

static int cmd_serve(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "ready-file", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *path = NULL, *ready_file = NULL;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'c') {
            path = optarg;
        } else if (c == 'r') {
            ready_file = optarg;
        } else {
            serve_usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "wstyped serve: what is '%s'? See wstyped serve --help\n", argv[optind]);
        return 2;
    }
    AUTO_SBUF(problems, 1 << 20);
    AUTO(config_free_auto) struct config *config = config_load(path, &problems);
    if (!config) {
        fprintf(stderr, "%s", problems.p ? problems.p : "");
        return 1;
    }
    return serve(config, ready_file);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "wstyped: there is no command '%s'; see wstyped help\n", name);
    return 2;
}
