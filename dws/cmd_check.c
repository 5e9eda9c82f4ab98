#include "dws/cmd_check.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dws/validate/wstyped_check.h"
#include "shared/base/json.h"

enum { EXIT_VALID, EXIT_INVALID, EXIT_TROUBLE, READ_SIZE = 1 << 18 };

static const char usage[] =
    "usage: wstyped check --type MODULE.TYPE (--spec FILE ... | --tws URL) [--json] FILE|-\n"
    "\n"
    "Checks an object, as a workspace would before it saves it. Prints one line for each error, or the "
    "object's size and\n"
    "MD5 and the ids in it. References are not resolved.\n"
    "\n"
    "  --type MODULE.TYPE[-MAJOR[.MINOR]]  what the object should be\n"
    "  --spec FILE         a KIDL file; give those it includes first\n"
    "  --tws URL           ask that service for the type\n"
    "  --ids TYPE,...      id types that are handled; default: all that the type names\n"
    "  --json              print what the service would answer for the object\n"
    "  --canonical FILE    write the canonical form there\n"
    "  --temp-dir DIR      for large objects; default /tmp\n"
    "  --help              print this\n"
    "\n"
    "Exit status: 0 the object is valid, 1 it is not, 2 for wrong usage and unreadable files.\n";

struct command {
    const char *type, *tws, *ids, *file, *canonical, *temp_dir;
    const char **specs;
    size_t spec_count;
    bool json;
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "wstyped check: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return EXIT_TROUBLE;
}

/* 0, or the exit status plus one. */
static int read_arguments(int argc, char **argv, struct command *command)
{
    static const struct option options[] = {
        { "type", required_argument, NULL, 't' },
        { "spec", required_argument, NULL, 's' },
        { "tws", required_argument, NULL, 'u' },
        { "ids", required_argument, NULL, 'i' },
        { "canonical", required_argument, NULL, 'c' },
        { "temp-dir", required_argument, NULL, 'd' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    command->specs = xcalloc((size_t)argc, sizeof(*command->specs));
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 't':
            command->type = optarg;
            break;
        case 's':
            command->specs[command->spec_count++] = optarg;
            break;
        case 'u':
            command->tws = optarg;
            break;
        case 'i':
            command->ids = optarg;
            break;
        case 'c':
            command->canonical = optarg;
            break;
        case 'd':
            command->temp_dir = optarg;
            break;
        case 'j':
            command->json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_VALID + 1;
        default:
            return EXIT_TROUBLE + 1;
        }
    }
    if (!command->type || optind != argc - 1 || !command->tws == !command->spec_count) {
        fputs(usage, stderr);
        return EXIT_TROUBLE + 1;
    }
    command->file = argv[optind];
    return 0;
}

static struct check_program *get_program(const struct command *command, const struct check_source *source,
                                         struct sbuf *ret_absolute)
{
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    AUTO(free_str_auto) char *problem = NULL;
    AUTO_ERR(err);
    struct slice type = slice_str(command->type);
    int rc;

    if (!command->tws)
        rc = source->schema_of(source->ctx, command->specs, command->spec_count, type, &schema, ret_absolute,
                               &err);
    else if (source->schema_from)
        rc = source->schema_from(source->ctx, command->tws, type, &schema, ret_absolute, &err);
    else
        rc = err_set(&err, ERR_REMOTE, "no service can be asked here");
    if (rc) {
        complain(command->type, err_text(&err));
        return NULL;
    }
    struct check_program *program =
        check_program_new((struct check_text){ sbuf_slice(&schema).p, schema.len }, &problem);
    if (!program)
        complain(command->type, problem);
    return program;
}

/* The id types that are handled; borrows from the command line or the program. */
static size_t get_id_types(const struct command *command, const struct check_program *program,
                           struct check_text **ret_types)
{
    size_t n = command->ids ? strlen(command->ids) + 1 : check_program_id_type_count(program), count = 0;
    struct check_text *types = xcalloc(n + 1, sizeof(*types));

    for (size_t i = 0; !command->ids && i < n; i++)
        types[count++] = check_program_id_type(program, i);
    for (const char *at = command->ids; at && *at;) {
        size_t length = strcspn(at, ",");
        types[count++] = (struct check_text){ at, length };
        at += length + (at[length] == ',');
    }
    *ret_types = types;
    return count;
}

/* Feeds the file; CHECK_FAILED with a complaint if it cannot be read. */
static enum check_status feed_file(struct check_job *job, int fd, const char *name)
{
    enum check_status status = CHECK_MORE;
    char *buf = xmalloc(READ_SIZE);
    size_t used;

    while (status == CHECK_MORE) {
        ssize_t n = read(fd, buf, READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            complain(name, strerror(errno));
            status = CHECK_FAILED;
        }
        if (n <= 0)
            break;
        status = check_feed(job, buf, (size_t)n, &used);
    }
    free(buf);
    return status;
}

static void print_text(struct check_text text)
{
    fwrite(text.p, 1, text.n, stdout);
}

static void print_problem(const struct check_result *result)
{
    size_t n;
    AUTO(free_str_auto) char *message = check_message(result, (struct check_text){ "object", 6 }, &n);

    for (size_t i = 0; i < result->error_count && result->outcome == CHECK_INVALID; i++) {
        print_text(result->errors[i].location.n ? result->errors[i].location : (struct check_text){ "/", 1 });
        fputs(": ", stdout);
        print_text(result->errors[i].message);
        putchar('\n');
    }
    if (result->outcome != CHECK_INVALID && message)
        printf("%s\n", message);
}

static void print_result(const struct check_result *result, const struct sbuf *absolute)
{
    if (result->outcome != CHECK_VALID) {
        print_problem(result);
        return;
    }
    printf("valid %s\n", absolute->p ? absolute->p : "");
    if (result->final)
        printf("size %llu\nmd5 %s\n", (unsigned long long)result->size, result->md5);
    for (size_t i = 0; i < result->metadata_count; i++) {
        fputs("metadata ", stdout);
        print_text(result->metadata[i].name);
        fputs(" = ", stdout);
        print_text(result->metadata[i].value);
        putchar('\n');
    }
    for (size_t i = 0; i < result->id_count; i++) {
        fputs("id ", stdout);
        print_text(result->ids[i].type);
        putchar(' ');
        print_text(result->ids[i].id);
        fputs(" at ", stdout);
        print_text(result->ids[i].location);
        putchar('\n');
    }
}

static int report(const struct command *command, const struct check_result *result,
                  const struct sbuf *absolute)
{
    size_t n;

    if (command->json) {
        AUTO(free_str_auto)
        char *json = check_json(result, (struct check_text){ sbuf_slice(absolute).p, absolute->len }, &n);
        printf("{%s}\n", json);
    } else {
        print_result(result, absolute);
    }
    return result->outcome == CHECK_VALID ? EXIT_VALID : EXIT_INVALID;
}

static int write_file(void *ctx, const char *bytes, size_t n)
{
    return fwrite(bytes, 1, n, ctx) == n ? 0 : -1;
}

/* Ids stay as they are, so that there is a canonical form. */
static bool keep_id(void *ctx UNUSED, struct check_text type UNUSED, struct check_text id UNUSED,
                    struct check_text *ret_mapped UNUSED)
{
    return false;
}

static int check_fd(const struct command *command, struct check_program *program, int fd, FILE *canonical,
                    const struct sbuf *absolute)
{
    struct check_text *types = NULL;
    size_t type_count = get_id_types(command, program, &types);
    struct check_options options = { .id_types = types,
                                     .id_type_count = type_count,
                                     .map_id = keep_id,
                                     .sink = canonical ? write_file : NULL,
                                     .sink_ctx = canonical,
                                     .temp_dir = command->temp_dir,
                                     .repeatable = lseek(fd, 0, SEEK_CUR) == 0 };
    struct check_job *job = check_begin(program, &options);
    const struct check_result *result;
    enum check_status status;
    int rc = EXIT_TROUBLE;

    do {
        status = feed_file(job, fd, command->file);
        if (status < CHECK_JSON)
            status = check_end(job, &result);
    } while (status == CHECK_AGAIN && lseek(fd, 0, SEEK_SET) == 0);
    struct check_text problem = check_problem(job);
    if (status == CHECK_DONE)
        rc = report(command, result, absolute);
    else if (problem.n)
        complain(command->file, problem.p);
    if (status == CHECK_JSON)
        rc = EXIT_INVALID;
    check_free(job);
    free(types);
    return rc;
}

static int check_file(const struct command *command, struct check_program *program,
                      const struct sbuf *absolute)
{
    bool is_input = strcmp(command->file, "-") == 0;
    int fd = is_input ? STDIN_FILENO : open(command->file, O_RDONLY | O_CLOEXEC);
    FILE *canonical = NULL;
    int rc = EXIT_TROUBLE;

    if (fd < 0)
        return complain(command->file, strerror(errno));
    if (command->canonical && !(canonical = fopen(command->canonical, "w")))
        complain(command->canonical, strerror(errno));
    else
        rc = check_fd(command, program, fd, canonical, absolute);
    if (canonical && fclose(canonical))
        rc = complain(command->canonical, strerror(errno));
    if (!is_input)
        close(fd);
    return rc;
}

int cmd_check(int argc, char **argv, const struct check_source *source)
{
    struct command command = { .json = false };
    AUTO_SBUF(absolute, SBUF_NO_LIMIT);
    int rc = read_arguments(argc, argv, &command);

    if (rc) {
        free(command.specs);
        return rc - 1;
    }
    struct check_program *program = get_program(&command, source, &absolute);
    rc = program ? check_file(&command, program, &absolute) : EXIT_TROUBLE;
    check_program_unref(program);
    free(command.specs);
    return rc;
}
