#include "tws/cmd_fsck.h"

#include <getopt.h>
#include <stdio.h>

#include "shared/base/config.h"
#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "tws/fsck.h"
#include "tws/store/lease.h"

enum { EXIT_CLEAN, EXIT_DAMAGE, EXIT_CANNOT };

static const char usage[] =
    "usage: wstyped fsck [--repair] [--json] --config FILE\n"
    "\n"
    "Checks the type database that a deploy.cfg names.  Without --repair nothing is written, and a TWS may\n"
    "be running.  With it, what can be mended without guessing is mended, one change at a time, under the\n"
    "writer's lease; so no TWS may be running.\n"
    "\n"
    "  --config FILE   deploy.cfg; default: $KB_DEPLOYMENT_CONFIG\n"
    "  --repair        mend what can be mended; make a backup first\n"
    "  --json          print one JSON object\n"
    "  --help          print this\n"
    "\n"
    "A line says: module, kind of damage, what it is, whether it was mended or is left, what to do.\n"
    "Exit status: 0 clean (or all is mended), 1 damage is left, 2 the database could not be checked.\n";

struct options {
    const char *config;
    bool repair, json;
};

/* ---- printing ---- */

static void put_finding_line(struct sbuf *out, const struct fsck_finding *f)
{
    if (f->module.n)
        sbuf_add_slice(out, f->module);
    else
        sbuf_addc(out, '-');
    sbuf_addf(out, ": %s: %s: %s", f->kind, f->what, f->mended ? "mended" : "left");
    if (!f->mended && f->advice[0])
        sbuf_addf(out, " (%s)", f->advice);
    sbuf_addc(out, '\n');
}

static void put_lines(struct sbuf *out, const struct fsck *fsck)
{
    size_t left = fsck_left(fsck), mended = fsck_mended(fsck);

    for (const struct fsck_finding *f = fsck_findings(fsck); f; f = f->next)
        put_finding_line(out, f);
    if (left || mended)
        sbuf_addf(out, "%zu modules, %zu mended, %zu left\n", fsck_modules(fsck), mended, left);
    else
        sbuf_addf(out, "%zu modules, clean\n", fsck_modules(fsck));
}

static void put_finding_json(struct sbuf *out, const struct fsck_finding *f)
{
    sbuf_adds(out, "{\"module\":");
    json_put_string(out, f->module);
    sbuf_adds(out, ",\"kind\":");
    json_put_str(out, f->kind);
    sbuf_adds(out, ",\"what\":");
    json_put_str(out, f->what);
    sbuf_addf(out, ",\"state\":\"%s\",\"mendable\":%s,\"advice\":", f->mended ? "mended" : "left",
              f->mendable ? "true" : "false");
    json_put_str(out, f->mended ? "" : f->advice);
    sbuf_addc(out, '}');
}

static void put_json(struct sbuf *out, const struct fsck *fsck)
{
    size_t left = fsck_left(fsck), mended = fsck_mended(fsck);
    const struct fsck_finding *first = fsck_findings(fsck);

    sbuf_addf(out, "{\"modules\":%zu,\"mended\":%zu,\"left\":%zu,\"findings\":[", fsck_modules(fsck), mended,
              left);
    for (const struct fsck_finding *f = first; f; f = f->next) {
        if (f != first)
            sbuf_addc(out, ',');
        put_finding_json(out, f);
    }
    sbuf_adds(out, "]}\n");
}

static int print(const struct options *options, const struct fsck *fsck, struct err *err)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    (options->json ? put_json : put_lines)(&out, fsck);
    if (fwrite(out.p, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
        return err_set(err, ERR_IO, "cannot write to standard output");
    return fsck_left(fsck) ? EXIT_DAMAGE : EXIT_CLEAN;
}

/* ---- checking ---- */

static int check(const struct options *options, struct store *store, int64_t fence, struct err *err)
{
    AUTO(fsck_free_auto) struct fsck *fsck = fsck_new(store);
    int rc = fsck_run(fsck, fence, err);

    return rc < 0 ? rc : print(options, fsck, err);
}

static int check_and_mend(const struct options *options, const struct config *config, struct err *err)
{
    const struct lease_options lease_options = { .ttl_ms = config->type_database_lease / 1000 };
    AUTO(store_close_auto) struct store *store = NULL;
    AUTO(lease_stop_auto) struct lease *lease = NULL;
    struct lease_holder holder;
    char node[RANDOM_ID_HEX + 1];

    random_id(node);
    int rc = store_open_as(config, STORE_WRITE, &store, err);
    if (rc == 0 && store->read_only)
        rc = err_set(err, ERR_READ_ONLY, "%s", store->read_only_reason);
    if (rc == 0)
        rc = lease_start(store, node, &lease_options, &lease, &holder, err);
    return rc < 0 ? rc : check(options, store, lease_fence(lease), err);
}

static int look(const struct options *options, const struct config *config, struct err *err)
{
    AUTO(store_close_auto) struct store *store = NULL;
    int rc = store_open_as(config, STORE_LOOK, &store, err);

    return rc < 0 ? rc : check(options, store, 0, err);
}

/* A database that is not there must not be made by being checked. */
static int need_database(const struct config *config, struct err *err)
{
    AUTO(store_close_auto) struct store *store = NULL;

    if (config->role != CONFIG_TWS)
        return err_set(err, ERR_CONFIG, "this is the configuration of a DWS, which has no type database");
    return store_open_as(config, STORE_LOOK, &store, err);
}

static int run(const struct options *options)
{
    AUTO_SBUF(problems, 1 << 20);
    AUTO_ERR(err);
    AUTO(config_free_auto) struct config *config = config_load(options->config, &problems);

    if (!config) {
        fprintf(stderr, "%s", problems.p ? problems.p : "");
        return EXIT_CANNOT;
    }
    int rc = need_database(config, &err);
    if (rc == 0)
        rc = options->repair ? check_and_mend(options, config, &err) : look(options, config, &err);
    if (rc >= 0)
        return rc;
    fprintf(stderr, "wstyped fsck: %s\n", err_text(&err));
    return EXIT_CANNOT;
}

int cmd_fsck(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "config", required_argument, NULL, 'c' },
        { "repair", no_argument, NULL, 'r' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .config = NULL };

    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == 'c') {
            options.config = optarg;
        } else if (c == 'r') {
            options.repair = true;
        } else if (c == 'j') {
            options.json = true;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : EXIT_CANNOT;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "wstyped fsck: what is '%s'? See wstyped fsck --help\n", argv[optind]);
        return EXIT_CANNOT;
    }
    return run(&options);
}
