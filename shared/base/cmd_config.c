#include "shared/base/cmd_config.h"

#include <stdio.h>

#include "shared/base/config.h"

static const char usage[] =
    "usage: wstyped config --check FILE      reports all errors of a deploy.cfg, or every key's value\n"
    "       wstyped config --example         prints a deploy.cfg with every key, commented out\n"
    "       wstyped config --explain [KEY]   explains all keys, or one\n";

static void print(const struct sbuf *text, FILE *to)
{
    fwrite(text->p ? text->p : "", 1, text->len, to);
}

static int check(const char *path)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    AUTO_SBUF(report, SBUF_NO_LIMIT);
    AUTO(config_free_auto) struct config *config = config_load(path, &problems);

    if (!config) {
        print(&problems, stderr);
        return 1;
    }
    for (size_t i = 0; i < config->unused.count; i++)
        fprintf(stderr, "not used: %s\n", config->unused.items[i]);
    config_report(config, &report);
    print(&report, stdout);
    return 0;
}

static int example(void)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    config_example(&text);
    print(&text, stdout);
    return 0;
}

static int explain(const char *key)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (!key) {
        config_explain(&text);
    } else if (!config_explain_key(key, &text)) {
        fprintf(stderr, "unknown key '%s'", key);
        if (text.len)
            fprintf(stderr, " (did you mean '%s'?)", text.p);
        fprintf(stderr, "\n");
        return 1;
    }
    print(&text, stdout);
    return 0;
}

int cmd_config(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "--check") == 0 && argc == 3)
        return check(argv[2]);
    if (strcmp(verb, "--example") == 0 && argc == 2)
        return example();
    if (strcmp(verb, "--explain") == 0 && argc <= 3)
        return explain(argc == 3 ? argv[2] : NULL);
    if (strcmp(verb, "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    fputs(usage, stderr);
    return 2;
}
