/*
 * The contract of struct store_ops over real MongoDB servers, a replica set and a stand-alone one, and what
 * is MongoDB's own: the documents as upstream reads them, two writers, kill -9 at every call, lost answers, a
 * server that goes away.
 *
 * The driver does not survive fork(), so children are this program again, with arguments.
 */
#include "test/unit/test_tws_store.h"

#include <errno.h>
#include <fcntl.h>
#include <mongoc/mongoc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shared/base/fault.h"
#include "test/unit/port.h"

enum { START_LIMIT_MS = 300000 /* a mongod may have to be fetched */, DATABASES = 4 };

/* ---- servers ---- */

struct server {
    bool standalone;
    pid_t pid;
    char *address;
    mongoc_client_t *client; /* the test's own */
    bool used[DATABASES];
};

static struct server servers[] = { { .standalone = false }, { .standalone = true } };

static void run_tool(bool standalone, int out)
{
    const char *argv[] = { "test/tools/mongod", "run", "--parameter", "enableTestCommands=1", NULL, NULL };
    char *copy[ARRAY_LEN(argv)];

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (standalone)
        argv[4] = "--standalone";
    memcpy(copy, argv, sizeof(argv));
    dup2(out, 1);
    execv(argv[0], copy);
    _exit(127);
}

static char *read_line(int fd, int limit_ms)
{
    AUTO_SBUF(line, 1000);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char c;

    while (poll(&p, 1, limit_ms) == 1 && read(fd, &c, 1) == 1 && c != '\n')
        sbuf_addc(&line, c);
    return line.len ? sbuf_take(&line, NULL) : NULL;
}

static void start_server(struct server *s)
{
    int out[2];

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    s->pid = fork();
    if (s->pid == 0)
        run_tool(s->standalone, out[1]);
    close(out[1]);
    s->address = read_line(out[0], START_LIMIT_MS);
    close(out[0]);
    if (!s->address) {
        fprintf(
            stderr,
            "test/tools/mongod does not start; on a machine that it knows no server for set MONGOD to one\n");
        exit(1);
    }
    AUTO(free_str_auto) char *uri = xasprintf("mongodb://%s/", s->address);
    s->client = mongoc_client_new(uri);
    mongoc_client_set_error_api(s->client, 2);
}

static void stop_server(struct server *s)
{
    int status;

    mongoc_client_destroy(s->client);
    kill(s->pid, SIGTERM);
    waitpid(s->pid, &status, 0);
    free(s->address);
}

/* ---- the test's own calls ---- */

/* Takes the command. */
static void run_command(struct server *s, const char *database, bson_t *command)
{
    bson_error_t error;
    bson_t reply;

    if (!mongoc_client_write_command_with_opts(s->client, database, command, NULL, &reply, &error))
        fail_msg("%s", error.message);
    bson_destroy(&reply);
    bson_destroy(command);
}

static void insert_json(struct server *s, const char *database, const char *collection, const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);

    if (!doc)
        fail_msg("%s: %s", error.message, json);
    run_command(s, database,
                BCON_NEW("insert", BCON_UTF8(collection), "documents", "[", BCON_DOCUMENT(doc), "]"));
    bson_destroy(doc);
}

/* Every document but its _id, which has to be an ObjectId and first; one a line, with types, in natural
 * order. */
static char *raw(struct server *s, const char *database, const char *collection)
{
    mongoc_collection_t *in = mongoc_client_get_collection(s->client, database, collection);
    bson_t filter = BSON_INITIALIZER;
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(in, &filter, NULL, NULL);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    const bson_t *doc;
    bson_iter_t iter;
    bson_t rest;

    sbuf_adds(&text, "");
    while (mongoc_cursor_next(cursor, &doc)) {
        assert_true(bson_iter_init(&iter, doc) && bson_iter_next(&iter));
        assert_string_equal(bson_iter_key(&iter), "_id");
        assert_true(BSON_ITER_HOLDS_OID(&iter));
        bson_init(&rest);
        bson_copy_to_excluding_noinit(doc, &rest, "_id", NULL);
        char *json = bson_as_canonical_extended_json(&rest, NULL);
        sbuf_addf(&text, "%s\n", json);
        bson_free(json);
        bson_destroy(&rest);
    }
    assert_false(mongoc_cursor_error(cursor, NULL));
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(in);
    return sbuf_take(&text, NULL);
}

/* ---- databases, used again because making their indexes takes long ---- */

struct mongo_db {
    struct server *server;
    int slot;
    char name[16];
};

static void clear_database(void *arg)
{
    const struct mongo_db *db = arg;
    mongoc_database_t *database = mongoc_client_get_database(db->server->client, db->name);
    /* a transaction of a process that was killed would keep its documents locked */
    if (!db->server->standalone)
        run_command(db->server, "admin", BCON_NEW("killAllSessions", "[", "]"));
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, NULL);

    for (size_t i = 0; names && names[i]; i++)
        run_command(db->server, db->name,
                    BCON_NEW("delete", BCON_UTF8(names[i]), "deletes", "[", "{", "q", "{", "}", "limit",
                             BCON_INT32(0), "}", "]"));
    bson_strfreev(names);
    mongoc_database_destroy(database);
}

static void *create_on(struct server *s)
{
    struct mongo_db *db = xcalloc(1, sizeof(*db));

    db->server = s;
    while (s->used[db->slot])
        assert_true(++db->slot < DATABASES);
    s->used[db->slot] = true;
    snprintf(db->name, sizeof(db->name), "types%d", db->slot);
    clear_database(db);
    return db;
}

static void *create_on_set(void)
{
    return create_on(&servers[0]);
}

static void *create_on_standalone(void)
{
    return create_on(&servers[1]);
}

static int open_with(const char *address, const char *database, struct store **ret_store, struct err *err)
{
    const struct store_mongo_options options = {
        .host = address,
        .database = database,
        .server_selection_us = 5000000,
        .connect_us = 2000000,
        .socket_us = 20000000,
        .start_us = 5000000,
    };

    return store_mongo_open(&options, ret_store, err);
}

static struct store *mongo_open_db(void *arg)
{
    struct mongo_db *db = arg;
    struct store *store = NULL;
    AUTO_ERR(err);

    if (open_with(db->server->address, db->name, &store, &err))
        fail_msg("%s", err_text(&err));
    return store;
}

static void mongo_destroy_db(void *arg)
{
    struct mongo_db *db = arg;

    db->server->used[db->slot] = false;
    free(db);
}

static const struct backend backends[] = {
    { "replica set", true, create_on_set, mongo_open_db, mongo_destroy_db, clear_database },
    { "stand-alone", true, create_on_standalone, mongo_open_db, mongo_destroy_db, clear_database },
};

static const char *name_of(const struct fixture *f)
{
    return ((struct mongo_db *)f->db)->name;
}

static struct server *server_of(const struct fixture *f)
{
    return ((struct mongo_db *)f->db)->server;
}

/* ---- documents ---- */

static void assert_raw(const struct fixture *f, const char *collection, const char *expected)
{
    AUTO(free_str_auto) char *text = raw(server_of(f), name_of(f), collection);

    assert_string_equal(text, expected);
}

#define LONG(n) "{ \"$numberLong\" : \"" #n "\" }"

static void layout(struct fixture *f)
{
    COMMIT(f->store, f->fence, REQUEST("M", "ann"), REQUEST("N", "bob"));
    COMMIT(f->store, f->fence, NONE("M"), FIRST_INFO("M", 1795159823466), OWNER("M", "ann", true),
           MODULE("M", 1795159823466, 1795159823466), DROP_REQUESTS("M", NULL));
    assert_raw(
        f, "module_request",
        "{ \"ownerUserId\" : \"bob\", \"withChangeOwnersPrivilege\" : true, \"moduleName\" : \"N\" }\n");
    assert_raw(
        f, "module_version",
        "{ \"moduleName\" : \"M\", \"versionTime\" : " LONG(
            1795159823466) ", \"releasedVersionTime\" : " LONG(1795159823466) ", \"supported\" : true }\n");
    COMMIT(f->store, f->fence, THERE("M", 1795159823466, 1795159823466, true), OWNER("M", "ann", false),
           OWNER("M", "bob", true), ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, 1, 7, "{ }"),
           ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 0, 1, 7, "tree"),
           ROW(CHANGE_ADD_FUNC_PARSE, "M", "f", 2, 13, 7, "call"),
           REF(CHANGE_ADD_TYPE_REF, "M", "T", 0, 1, 7, "N", "U", 3, 4),
           REF(CHANGE_ADD_FUNC_REF, "M", "f", 2, 13, 7, "M", "T", 0, 1), SPEC("M", 7, "module M {\n};\n"),
           INFO("M", 7, "ann"), MOVE("M", 7, 1795159823466, false));
    assert_raw(f, "module_version",
               "{ \"moduleName\" : \"M\", \"versionTime\" : " LONG(7) ", \"releasedVersionTime\" : " LONG(
                   1795159823466) ", \"supported\" : false }\n");
    assert_raw(
        f, "module_owner",
        "{ \"ownerUserId\" : \"ann\", \"withChangeOwnersPrivilege\" : false, \"moduleName\" : \"M\" }\n"
        "{ \"ownerUserId\" : \"bob\", \"withChangeOwnersPrivilege\" : true, \"moduleName\" : \"M\" }\n");
    assert_raw(
        f, "module_type_schema",
        "{ \"moduleName\" : \"M\", \"typeName\" : \"T\", \"version\" : \"0.1\", \"moduleVersion\" : " LONG(
            7) ", \"document\" : \"{ }\", \"md5hash\" : \"abcd\" }\n");
    assert_raw(
        f, "module_type_parse",
        "{ \"moduleName\" : \"M\", \"typeName\" : \"T\", \"version\" : \"0.1\", \"moduleVersion\" : " LONG(
            7) ", \"document\" : \"tree\", \"md5hash\" : null }\n");
    assert_raw(
        f, "module_func_parse",
        "{ \"moduleName\" : \"M\", \"funcName\" : \"f\", \"version\" : \"2.13\", \"moduleVersion\" : " LONG(
            7) ", \"document\" : \"call\" }\n");
    assert_raw(f, "type_refs",
               "{ \"depModule\" : \"M\", \"depName\" : \"T\", \"depVersion\" : \"0.1\", \"depModuleVersion\" "
               ": " LONG(7) ", \"refModule\" : \"N\", \"refName\" : \"U\", \"refVersion\" : \"3.4\" }\n");
    assert_raw(
        f, "func_refs",
        "{ \"depModule\" : \"M\", \"depName\" : \"f\", \"depVersion\" : \"2.13\", \"depModuleVersion\" "
        ": " LONG(7) ", \"refModule\" : \"M\", \"refName\" : \"T\", \"refVersion\" : \"0.1\" }\n");
    assert_raw(
        f, "module_spec_history",
        "{ \"moduleName\" : \"M\", \"document\" : \"module M {\\n};\\n\", \"versionTime\" : " LONG(7) " }\n");
    assert_raw(f, "module_info_history",
               "{ \"moduleName\" : \"M\", \"includedModuleNameToVersion\" : {  }, \"types\" : {  }, "
               "\"funcs\" : {  }, "
               "\"description\" : null, \"md5hash\" : null, \"versionTime\" : " LONG(
                   1795159823466) ", \"uploadUserId\" : null, \"uploadMethod\" : null, \"uploadComment\" : "
                                  "null, "
                                  "\"released\" : true }\n"
                                  "{ \"moduleName\" : \"M\", \"includedModuleNameToVersion\" : { \"Zed\" "
                                  ": " LONG(7) ", \"Abc\" : " LONG(
                                      1795159820000) " }, \"types\" : { \"T\" : { \"typeName\" : "
                                                     "\"T\", \"typeVersion\" : \"0.1\", "
                                                     "\"supported\" : true }, \"Gone\" : { "
                                                     "\"typeName\" : \"Gone\", \"typeVersion\" : "
                                                     "\"10.20\", \"supported\" : false } }, "
                                                     "\"funcs\" : { \"fun\" : { \"funcName\" : "
                                                     "\"fun\", \"funcVersion\" : \"1.0\", "
                                                     "\"supported\" : true } }, \"description\" : "
                                                     "\"says \\\"what\\\"\", \"md5hash\" : \"0123\", "
                                                     "\"versionTime\" : " LONG(
                                                         7) ", "
                                                            "\"uploadUserId\" : \"ann\", \"uploadMethod\" "
                                                            ": \"registerModule\", \"uploadComment\" : \"\", "
                                                            "\"released\" : false }\n");
}

static int count_damage(void *ctx, struct slice module, const char *what)
{
    struct dump *d = ctx;
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    sbuf_addf(&sb, "%s of %.*s", what, (int)module.n, module.p);
    if (d->count < ARRAY_LEN(d->lines))
        d->lines[d->count++].text = arena_memdup(&d->arena, sb.p, sb.len);
    sbuf_release(&sb);
    return 0;
}

/* What other writers leave: other kinds of numbers, absent and null members; and what cannot be read. */
static void foreign_documents(struct fixture *f)
{
    static const struct {
        const char *collection, *json;
    } docs[] = {
        { "module_version",
          "{\"moduleName\":\"A\",\"versionTime\":5,\"releasedVersionTime\":3.0,\"supported\":true}" },
        { "module_version",
          "{\"moduleName\":\"B\",\"versionTime\":{\"$numberLong\":\"5\"},\"releasedVersionTime\":null}" },
        { "module_version", "{\"moduleName\":\"C\",\"versionTime\":\"5\",\"supported\":true}" },
        { "module_version", "{\"moduleName\":\"D\",\"versionTime\":5.5,\"supported\":true}" },
        { "module_version", "{\"moduleName\":7,\"versionTime\":5}" },
        { "module_owner", "{\"moduleName\":\"A\",\"ownerUserId\":\"u\"}" },
        { "module_owner", "{\"moduleName\":\"A\",\"ownerUserId\":null,\"withChangeOwnersPrivilege\":true}" },
        { "module_owner",
          "{\"moduleName\":\"A\",\"ownerUserId\":\"odd\",\"withChangeOwnersPrivilege\":\"yes\"}" },
        { "module_info_history", "{\"moduleName\":\"A\",\"versionTime\":3}" },
        { "module_info_history",
          "{\"moduleName\":\"A\",\"versionTime\":5,\"md5hash\":\"x\",\"types\":{\"T\":{\"typeVersion\":\"1."
          "0\"}},"
          "\"includedModuleNameToVersion\":{\"B\":4.0},\"released\":true,\"more\":1}" },
        { "module_info_history", "{\"moduleName\":\"A\",\"versionTime\":6,\"types\":null}" },
        { "module_info_history",
          "{\"moduleName\":\"A\",\"versionTime\":7,\"types\":{\"T\":{\"typeVersion\":\"x\"}}}" },
        { "module_info_history", "{\"moduleName\":\"A\",\"versionTime\":8,\"funcs\":{\"f\":3}}" },
        { "module_info_history", "{\"moduleName\":\"A\",\"versionTime\":null}" },
        { "module_type_schema",
          "{\"moduleName\":\"A\",\"typeName\":\"T\",\"version\":\"1.0\",\"document\":\"d\"}" },
        { "module_type_schema", "{\"moduleName\":\"A\",\"typeName\":\"T\",\"version\":\"one\"}" },
        { "type_refs", "{\"depModule\":\"A\",\"depName\":[]}" },
    };
    struct dump *d = xcalloc(1, sizeof(*d));
    struct store_sink sink = dump_sink;
    AUTO_SBUF(status_text, SBUF_NO_LIMIT);
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        insert_json(server_of(f), name_of(f), docs[i].collection, docs[i].json);
    sink.ctx = d;
    sink.damage = count_damage;
    assert_int_equal(store_load(f->store, &sink, NULL), 0);
    for (size_t i = 0; i < d->count; i++)
        sbuf_addf(&text, "%s\n", d->lines[i].text);
    arena_release(&d->arena);
    free(d);
    assert_string_equal(text.p,
                        "module A 5 3\nmodule B 5 0 unsupported\nmodule_version of C\nmodule_version of D\n"
                        "module_version of \nowner A u\nowner A  grant\nmodule_owner of A\n"
                        "module_info_history of A\ninfo A 3 first includes types funcs\n"
                        "info A 5 released||x||| includes B=4 types T-1.0 funcs\n"
                        "module_info_history of A\nmodule_info_history of A\nmodule_info_history of A\n"
                        "schema A.T-1.0 by 0\nmodule_type_schema of A\ntype_refs of A\n");
    store_status(f->store, &status_text);
    assert_non_null(strstr(status_text.p, "\"damaged_records\":10"));

    /* and they can be changed */
    COMMIT(f->store, f->fence, THERE("A", 5, 3, true), THERE("B", 5, 0, false), MOVE("A", 6, 5, true),
           OWNER("A", "odd", true), OWNER("A", "u", true));
    assert_raw(
        f, "module_owner",
        "{ \"ownerUserId\" : \"u\", \"withChangeOwnersPrivilege\" : true, \"moduleName\" : \"A\" }\n"
        "{ \"moduleName\" : \"A\", \"ownerUserId\" : null, \"withChangeOwnersPrivilege\" : true }\n"
        "{ \"ownerUserId\" : \"odd\", \"withChangeOwnersPrivilege\" : true, \"moduleName\" : \"A\" }\n");
}

static void note_found(void *ctx, const char *kind, struct slice module, const char *what, bool mendable,
                       bool mended)
{
    sbuf_addf(ctx, "%s %.*s %s%s%s\n", kind, (int)module.n, module.p, what, mendable ? " mendable" : "",
              mended ? " mended" : "");
}

static void assert_check(struct fixture *f, int64_t fence, const char *expected)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    const struct store_check check = { .ctx = &text, .fence = fence, .found = note_found };
    AUTO_ERR(err);

    sbuf_adds(&text, "");
    if (store_check(f->store, &check, &err))
        fail_msg("%s", err_text(&err));
    assert_string_equal(text.p ? text.p : "", expected);
}

static void looking_for_damage(struct fixture *f)
{
    assert_check(f, 0, "");
    insert_json(server_of(f), name_of(f), "module_version",
                "{\"moduleName\":\"A\",\"versionTime\":5,\"releasedVersionTime\":3.0,\"supported\":true}");
    insert_json(server_of(f), name_of(f), "module_spec_history",
                "{\"moduleName\":\"B\",\"versionTime\":3.5}");
    insert_json(server_of(f), name_of(f), "module_spec_history",
                "{\"moduleName\":\"C\",\"versionTime\":\"x\"}");
    insert_json(server_of(f), name_of(f), "func_refs", "{\"depModule\":\"D\",\"depModuleVersion\":4}");
    run_command(server_of(f), name_of(f),
                BCON_NEW("dropIndexes", "module_owner", "index", "moduleName_1_ownerUserId_1"));
#define ODD(field) field " is not a 64-bit integer mendable"
    assert_check(
        f, 0,
        "missing_index  module_owner: moduleName_1_ownerUserId_1\n"
        "odd_time A " ODD(
            "module_version.versionTime") "\n"
                                          "odd_time A " ODD(
                                              "module_version.releasedVersionTime") "\n"
                                                                                    "odd_time "
                                                                                    "D " ODD("func_refs."
                                                                                             "depModuleVe"
                                                                                             "rsion") "\n");
    store_close(f->store);
    f->store = f->backend->open(f->db);
    f->fence = take_lease(f->store, "first", 60000);
    assert_check(
        f, f->fence,
        "odd_time A " ODD(
            "module_version.versionTime") " mended\n"
                                          "odd_time A " ODD(
                                              "module_version.releasedVersionTime") " mended\n"
                                                                                    "odd_time "
                                                                                    "D " ODD("func_refs."
                                                                                             "depModuleVe"
                                                                                             "rsion") " m"
                                                                                                      "en"
                                                                                                      "de"
                                                                                                      "d"
                                                                                                      "\n");
    assert_check(f, 0, "");
    assert_raw(f, "module_version",
               "{ \"moduleName\" : \"A\", \"versionTime\" : " LONG(5) ", \"releasedVersionTime\" : " LONG(
                   3) ", \"supported\" : true }\n");
}

static void index_names(struct fixture *f)
{
    static const char *const expected[][4] = {
        { "module_request", "moduleName_1_ownerUserId_1 unique", "ownerUserId_1" },
        { "module_version", "moduleName_1 unique" },
        { "module_type_schema", "moduleName_1_typeName_1_version_1 unique", "moduleName_1_moduleVersion_1" },
        { "module_type_parse", "moduleName_1_typeName_1_version_1 unique", "moduleName_1_moduleVersion_1" },
        { "func_refs", "depModule_1_depName_1_depVersion_1", "refModule_1_refName_1_refVersion_1",
          "depModule_1_depModuleVersion_1" },
    };

    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        mongoc_collection_t *in =
            mongoc_client_get_collection(server_of(f)->client, name_of(f), expected[i][0]);
        mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(in, NULL);
        const bson_t *doc;
        bson_iter_t iter;
        size_t n = 0;
        while (mongoc_cursor_next(cursor, &doc)) {
            assert_true(bson_iter_init_find(&iter, doc, "name"));
            AUTO_SBUF(name, 1000);
            sbuf_adds(&name, bson_iter_utf8(&iter, NULL));
            if (bson_iter_init_find(&iter, doc, "unique"))
                sbuf_adds(&name, " unique");
            if (n)
                assert_string_equal(name.p, expected[i][n]);
            n++;
        }
        assert_true(n == ARRAY_LEN(expected[i]) || !expected[i][n]);
        mongoc_cursor_destroy(cursor);
        mongoc_collection_destroy(in);
    }
}

static void too_large(struct fixture *f)
{
    const size_t sizes[] = { 16 * 1024 * 1024 - 17 * 1024, 16 * 1024 * 1024 };
    struct text_key key = { .kind = TEXT_SPEC, .module = SLICE("M"), .module_version = 1 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        AUTO(free_str_auto) char *big = xmalloc(sizes[i] + 1);
        memset(big, 'b', sizes[i]);
        big[sizes[i]] = '\0';
        const struct op ops[] = { SPEC("M", (int64_t)i + 1, big), SPEC("N", (int64_t)i + 1, "small"),
                                  END_OPS };
        AUTO_ERR(err);
        int code = commit_ops(f->store, f->fence, ops, &err);
        if (code != (i ? -ERR_LIMIT : 0))
            fail_msg("%zu: %d %s", sizes[i], code, err_text(&err));
    }
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    assert_int_equal(store_read_text(f->store, &key, &text, NULL), 1);
    assert_int_equal(text.len, sizes[0]);
    key.module_version = 2;
    assert_int_equal(store_read_text(f->store, &key, &text, NULL), 0);
}

/* ---- two writers ---- */

struct race {
    struct store *store;
    int64_t fence;
    int code, after_us;
    struct err err;
};

static void *commit_later(void *arg)
{
    struct race *race = arg;
    const struct op ops[] = { THERE("M", 10, 10, true), SPEC("M", 20, "mine"),   INFO("M", 20, "mine"),
                              OWNER("M", "mine", true), MOVE("M", 20, 10, true), END_OPS };

    usleep((useconds_t)race->after_us);
    race->code = commit_ops(race->store, race->fence, ops, &race->err);
    return NULL;
}

/* Whatever the order of the two, the commit is there as a whole, or not at all and refused. */
static void take_over_races(struct fixture *f)
{
    AUTO(store_close_auto) struct store *second = f->backend->open(f->db);

    for (int round = 0; round < 50; round++) {
        pthread_t thread;
        clear_database(f->db);
        struct race race = { .store = f->store, .after_us = round * 37 % 1500 };
        race.fence = take_lease(f->store, "first", 60000);
        must_commit(f->store, race.fence, base_ops);
        assert_int_equal(store_lease_renew(f->store, race.fence, 1, NULL), 0);
        usleep(2000);
        assert_int_equal(pthread_create(&thread, NULL, commit_later, &race), 0);
        usleep((useconds_t)(round * 91 % 3000));
        struct lease_holder me = { .node = "second" }, holder;
        int64_t fence = 0;
        int code = -ERR_BUSY;
        for (int i = 0; code == -ERR_BUSY && i < 10; i++)
            code = store_lease_take(second, &me, 60000, &fence, &holder, NULL);
        pthread_join(thread, NULL);
        /* a commit that came first makes the lease last on */
        if (code == -ERR_BUSY && store_lease_renew(f->store, race.fence, 1, NULL) == 0) {
            usleep(2000);
            code = store_lease_take(second, &me, 60000, &fence, &holder, NULL);
        }
        assert_int_equal(code, 0);
        AUTO(free_str_auto) char *text = dump(second);
        bool there = strstr(text, "mine") != NULL;
        if (there != (race.code == 0) || (!there && race.code != -ERR_FENCED))
            fail_msg("round %d: %d %s\n%s", round, race.code, err_text(&race.err), text);
        err_clear(&race.err);
        assert_int_equal(strstr(text, "module M 20 10") != NULL, there);
        assert_int_equal(strstr(text, "spec M 20: mine") != NULL, there);
        assert_int_equal(strstr(text, "owner M mine grant") != NULL, there);
        const struct op late[] = { OWNER("M", "late", true), END_OPS };
        assert_int_equal(commit_ops(f->store, race.fence, late, NULL), -ERR_FENCED);
        must_commit(second, fence, late);
        assert_int_equal(store_lease_give_up(second, fence, NULL), 0);
    }
}

/* ---- a lost answer ---- */

static void fail_command(struct server *s, bson_t *data, int times)
{
    run_command(s, "admin",
                BCON_NEW("configureFailPoint", "failCommand", "mode", "{", "times", BCON_INT32(times), "}",
                         "data", BCON_DOCUMENT(data)));
    bson_destroy(data);
}

static void fail_no_command(struct server *s)
{
    run_command(s, "admin", BCON_NEW("configureFailPoint", "failCommand", "mode", "off"));
}

/* Whether or not the server did what it did not answer to, the caller learns how it ended. */
static void lost_answers(struct fixture *f)
{
    static const char *const set_commands[] = { "update", "find", "insert", "delete", "commitTransaction" };
    static const char *const own_commands[] = { "update", "find", "insert", "aggregate", "delete" };
    const char *const *commands = server_of(f)->standalone ? own_commands : set_commands;

    for (int i = 0; i < 5; i++) {
        for (int after = 0; after < 2; after++) {
            AUTO_ERR(err);
            clear_database(f->db);
            store_close(f->store);
            f->store = f->backend->open(f->db);
            f->fence = take_lease(f->store, "first", 60000);
            must_commit(f->store, f->fence, base_ops);
            AUTO(free_str_auto) char *before = dump(f->store);
            if (after)
                fail_command(server_of(f),
                             BCON_NEW("failCommands", "[", BCON_UTF8(commands[i]), "]", "writeConcernError",
                                      "{", "code", BCON_INT32(64), "errmsg", "no majority in time", "}"),
                             2);
            else
                fail_command(server_of(f),
                             BCON_NEW("failCommands", "[", BCON_UTF8(commands[i]), "]", "closeConnection",
                                      BCON_BOOL(true)),
                             2);
            int code = commit_ops(f->store, f->fence, every_op, &err);
            fail_no_command(server_of(f));
            AUTO(free_str_auto) char *text = dump(f->store);
            if ((code == 0) == (strcmp(text, before) == 0) || (code && code != -ERR_STORE))
                fail_msg("%s %d: %d %s\n%s", commands[i], after, code, err_text(&err), text);
            if (code)
                must_commit(f->store, f->fence, every_op);
            AUTO(free_str_auto) char *done = dump(f->store);
            assert_string_not_equal(done, before);
        }
    }
}

/* An answer that stays away for longer than a commit tries: nothing is written until it is known how that one
 * ended. */
static void unknown_outcome(struct fixture *f)
{
    const struct op small[] = { OWNER("M", "small", true), END_OPS },
                    refused[] = { OWNER("M", "no", true), END_OPS };
    const char *command = server_of(f)->standalone ? "update" : "commitTransaction";
    AUTO_ERR(err);

    must_commit(f->store, f->fence, base_ops);
    fail_command(server_of(f),
                 BCON_NEW("failCommands", "[", BCON_UTF8(command), "]", "writeConcernError", "{", "code",
                          BCON_INT32(64), "errmsg", "no majority in time", "}"),
                 1000000);
    assert_int_equal(commit_ops(f->store, f->fence, small, &err), -ERR_STORE);
    assert_non_null(strstr(err_text(&err), "the outcome of the commit is unknown: "));
    assert_int_equal(commit_ops(f->store, f->fence, refused, NULL), -ERR_STORE);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    store_status(f->store, &text);
    assert_non_null(strstr(text.p, "\"open_commit\":\"outcome unknown\""));
    fail_no_command(server_of(f));

    /* it was done: what the caller knows is out of date */
    err_clear(&err);
    assert_int_equal(commit_ops(f->store, f->fence, refused, &err), -ERR_STORE);
    assert_non_null(strstr(err_text(&err), "has been loaded again"));
    assert_true(atomic_load(&f->store->outdated));
    assert_dump(f->store, "module M 10 10\nmodule N 10 10\nowner M ann grant\nowner M small grant\n"
                          "request M bob grant\ninfo M 10 released first" EMPTY_INFO);
    assert_false(atomic_load(&f->store->outdated));
    must_commit(f->store, f->fence, refused);
}

/* ---- opening ---- */

static void open_errors(void **state)
{
    static const struct {
        const char *host, *text;
        int code;
    } cases[] = {
        { "127.0.0.1:1", "type database 'types' on 127.0.0.1:1: connecting: ", ERR_STORE },
        { "mongodb://ann:topsecret@127.0.0.1:1/",
          "type database 'types' on 127.0.0.1:1: connecting: ", ERR_STORE },
        { "ann:topsecret@127.0.0.1", "is neither host[:port], nor", ERR_CONFIG },
        { "mongodb://ann:topsecret@", "mongodb-host: the URI is malformed", ERR_CONFIG },
        { "127.0.0.1:x", "mongodb-host: ", ERR_CONFIG },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct store_mongo_options options = {
            .host = cases[i].host, .database = "types", .server_selection_us = 300000, .start_us = 400000
        };
        struct store *store = NULL;
        AUTO_ERR(err);
        assert_int_equal(store_mongo_open(&options, &store, &err), -cases[i].code);
        assert_null(store);
        if (!strstr(err_text(&err), cases[i].text) || strstr(err_text(&err), "topsecret"))
            fail_msg("%s: %s", cases[i].host, err_text(&err));
    }
}

static void by_config(void **state)
{
    struct config config = { .mongodb_type_database = "types",
                             .mongodb_host = servers[0].address,
                             .mongodb_server_selection_timeout = 5000000 };
    struct store *store = NULL;
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    (void)state;
    assert_int_equal(store_open(&config, &store, NULL), 0);
    assert_string_equal(store->ops->name, "mongodb");
    store_status(store, &text);
    assert_non_null(strstr(text.p, "\"deployment\":\"replica set\",\"server_version\":\""));
    assert_non_null(strstr(text.p, "\"protocol\":\"transactions\""));
    store_close(store);
}

/* Only looking leaves a database as it is, even one without any of our own collections. */
static void looking(struct fixture *f)
{
    const struct store_mongo_options options = { .host = server_of(f)->address,
                                                 .database = "looked_at",
                                                 .access = STORE_READ };
    const struct op ops[] = { OWNER("M", "u", true), END_OPS };
    struct lease_holder me = { .node = "me" }, holder;
    char id[RANDOM_ID_HEX + 1], again[RANDOM_ID_HEX + 1];
    int64_t fence = 0;

    insert_json(server_of(f), "looked_at", "module_owner", "{\"moduleName\":\"A\",\"ownerUserId\":\"u\"}");
    for (int i = 0; i < 2; i++) {
        struct store *store = NULL;
        AUTO_ERR(err);
        assert_int_equal(store_mongo_open(&options, &store, NULL), 0);
        assert_true(store->read_only);
        assert_non_null(store->read_only_reason);
        assert_int_equal(store_cluster_id(store, i ? again : id, NULL), 0);
        assert_dump(store, "owner A u\n");
        assert_int_equal(commit_ops(store, 1, ops, &err), -ERR_READ_ONLY);
        assert_int_equal(store_lease_take(store, &me, 1000, &fence, &holder, NULL), -ERR_READ_ONLY);
        store_close(store);
    }
    assert_string_equal(id, again);
    mongoc_database_t *database = mongoc_client_get_database(server_of(f)->client, "looked_at");
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, NULL);
    assert_true(names && names[0] && !names[1]);
    assert_true(mongoc_database_drop(database, NULL));
    bson_strfreev(names);
    mongoc_database_destroy(database);
}

/* An account that may not write is found out by trying. */
static void read_only_account(struct fixture *f)
{
    static const char *const refused[] = { "create", "createIndexes", "insert" };
    const struct op ops[] = { OWNER("M", "u", true), END_OPS };

    must_commit(f->store, f->fence, base_ops);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct store *store = NULL;
        AUTO_ERR(err);
        fail_command(server_of(f),
                     BCON_NEW("failCommands", "[", BCON_UTF8(refused[i]), "]", "errorCode", BCON_INT32(13)),
                     1000000);
        int code = open_with(server_of(f)->address, name_of(f), &store, &err);
        fail_no_command(server_of(f));
        if (code)
            fail_msg("%s", err_text(&err));
        assert_true(store->read_only);
        assert_non_null(strstr(store->read_only_reason, "Failing command"));
        assert_int_equal(commit_ops(store, f->fence, ops, &err), -ERR_READ_ONLY);
        AUTO(free_str_auto) char *text = dump(store);
        assert_non_null(strstr(text, "owner M ann grant\n"));
        store_close(store);
    }
}

/* ---- a server that goes away ---- */

struct own_server {
    char dir[40], *binary, *port, *address;
    pid_t pid;
};

static void run_own(struct own_server *s)
{
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execl(s->binary, s->binary, "--dbpath", s->dir, "--port", s->port, "--bind_ip", "127.0.0.1",
              "--quiet", "--wiredTigerCacheSizeGB", "0.25", "--unixSocketPrefix", s->dir, "--setParameter",
              "diagnosticDataCollectionEnabled=false", (char *)NULL);
        _exit(127);
    }
}

static void end_own(struct own_server *s)
{
    int status;

    kill(s->pid, SIGKILL);
    waitpid(s->pid, &status, 0);
}

static void server_away(void **state)
{
    struct own_server s = { .dir = "/tmp/test_mongo_XXXXXX" };
    const struct op first[] = { OWNER("M", "first", true), END_OPS },
                    second[] = { OWNER("M", "second", true), END_OPS };
    struct store *store = NULL;
    AUTO_ERR(err);
    FILE *tool = popen("test/tools/mongod find", "r");

    (void)state;
    s.binary = read_line(fileno(tool), START_LIMIT_MS);
    pclose(tool);
    assert_non_null(mkdtemp(s.dir));
    s.port = xasprintf("%d", free_port());
    s.address = xasprintf("127.0.0.1:%s", s.port);
    run_own(&s);
    for (int i = 0; i < 20 && open_with(s.address, "types", &store, NULL); i++)
        usleep(100000);
    assert_non_null(store);
    int64_t fence = take_lease(store, "first", 60000);
    must_commit(store, fence, first);

    end_own(&s);
    assert_int_equal(commit_ops(store, fence, second, &err), -ERR_STORE);
    assert_null(strstr(err_text(&err), "(null)"));
    run_own(&s);
    uint64_t begin = clock_us();
    must_commit(store, fence, second);
    assert_true(clock_us() - begin < 10000000);
    assert_dump(store, "owner M first grant\nowner M second grant\n");
    store_close(store);
    end_own(&s);
    AUTO(free_str_auto) char *remove_dir = xasprintf("rm -rf '%s'", s.dir);
    assert_int_equal(system(remove_dir), 0);
    free(s.binary);
    free(s.port);
    free(s.address);
}

/* ---- kill -9 ---- */

static NORETURN void child_main(char **argv)
{
    struct store *store = NULL;
    struct lease_holder me = { .node = "child" }, holder;
    int64_t fence;

    if (open_with(argv[0], argv[1], &store, NULL))
        _exit(2);
#ifdef WSTYPED_FAULTS
    fault_arm(argv[2][0] ? argv[2] : NULL, argv[3][0] ? argv[3] : NULL);
#endif
    if (store_lease_take(store, &me, 500, &fence, &holder, NULL))
        _exit(3);
    _exit(commit_ops(store, fence, every_op, NULL) ? 1 : 0);
}

#ifdef WSTYPED_FAULTS

static int run_child(const struct fixture *f, const char *fault, const char *log)
{
    const struct mongo_db *db = f->db;
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test", "child", db->server->address, db->name, fault, log, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make_base(struct fixture *f)
{
    clear_database(f->db);
    int64_t fence = take_lease(f->store, "first", 60000);
    must_commit(f->store, fence, base_ops);
    assert_int_equal(store_lease_give_up(f->store, fence, NULL), 0);
}

/* On a stand-alone server a commit makes the lease last for seconds, which need not be waited for here. */
static void expire_lease(struct fixture *f)
{
    if (server_of(f)->standalone)
        run_command(server_of(f), name_of(f),
                    BCON_NEW("update", "wstyped_lease", "updates", "[", "{", "q", "{", "}", "u", "[", "{",
                             "$set", "{", "expires", "$$NOW", "}", "}", "]", "}", "]"));
}

static int64_t take_when_free(struct store *store)
{
    struct lease_holder me = { .node = "next" }, holder;
    uint64_t end = clock_us() + 30000000;
    int64_t fence = 0;
    AUTO_ERR(err);
    int code;

    while ((code = store_lease_take(store, &me, 60000, &fence, &holder, &err)) == -ERR_BUSY &&
           clock_us() < end) {
        err_clear(&err);
        usleep(20000);
    }
    if (code)
        fail_msg("%s", err_text(&err));
    return fence;
}

static size_t count_points(struct fixture *f, const char *prefix, char *ret_names, size_t size)
{
    char path[] = "/tmp/test_mongo_log_XXXXXX", line[100];
    int fd = mkstemp(path);
    size_t count = 0, used = 0;

    make_base(f);
    assert_int_equal(run_child(f, "", path), 0);
    FILE *file = fdopen(fd, "r");
    while (fgets(line, sizeof(line), file)) {
        count += strncmp(line, prefix, strlen(prefix)) == 0;
        if (used + strlen(line) < size) {
            memcpy(ret_names + used, line, strlen(line) + 1);
            used += strlen(line);
        }
    }
    fclose(file);
    unlink(path);
    return count;
}

static void faults_anywhere(struct fixture *f, const char *action)
{
    char names[4000] = "";
    size_t points = count_points(f, "mongo.", names, sizeof(names));
    bool kills = strcmp(action, "kill") == 0, was_done = false;

    make_base(f);
    AUTO(free_str_auto) char *before = dump(f->store);
    int64_t first = take_when_free(f->store);
    must_commit(f->store, first, every_op);
    AUTO(free_str_auto) char *after = dump(f->store);
    assert_true(points > 15);
    for (size_t n = 1; n <= points; n++) {
        AUTO(free_str_auto) char *fault = xasprintf("mongo.*:%zu:%s", n, action);
        make_base(f);
        int status = run_child(f, fault, "");
        if (kills != (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
            fail_msg("%s of %zu points: status %x\n%s", fault, points, status, names);
        expire_lease(f);
        int64_t fence = take_when_free(f->store);
        AUTO(free_str_auto) char *text = dump(f->store);
        bool done = strcmp(text, after) == 0;
        if (!done && strcmp(text, before) != 0)
            fail_msg("%s: neither before nor after\n%s", fault, text);
        if (!kills)
            assert_int_equal(done, WEXITSTATUS(status) == 0);
        /* once done, done at all later points */
        if (kills)
            assert_true(done || !was_done);
        was_done = done;
        if (!done)
            must_commit(f->store, fence, every_op);
        assert_dump(f->store, after);
        AUTO(free_str_auto) char *logs = raw(server_of(f), name_of(f), "wstyped_intents");
        assert_string_equal(logs, "");
    }
    assert_true(was_done);
}

static void killed_anywhere(struct fixture *f)
{
    faults_anywhere(f, "kill");
}

static void failing_anywhere(struct fixture *f)
{
    faults_anywhere(f, "fail");
}

/* The former holder sleeps through a take-over, at any of its calls, and does harm to nothing when it wakes
 * up. */
static void stopped_anywhere(struct fixture *f)
{
    char names[4000] = "";
    size_t points = count_points(f, "mongo.", names, sizeof(names));

    for (size_t n = 2; n <= points; n++) {
        AUTO(free_str_auto) char *fault = xasprintf("mongo.*:%zu:stop", n);
        const struct mongo_db *db = f->db;
        int status;
        make_base(f);
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "test", "child", db->server->address, db->name, fault, "", (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        expire_lease(f);
        int64_t fence = take_when_free(f->store);
        const struct op mine[] = { DROP_OWNER("M", "bob"), OWNER("M", "ann", true), DROP_REQUESTS("Y", NULL),
                                   OWNER("Z", "new", true), END_OPS };
        must_commit(f->store, fence, mine);
        AUTO(free_str_auto) char *text = dump(f->store);
        kill(pid, SIGCONT);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        AUTO(free_str_auto) char *later = dump(f->store);
        if (strcmp(text, later) != 0)
            fail_msg("%s\n%s\nthen\n%s\n%s", fault, text, later, names);
        /* what it was told it did is there, and what it was told it did not is not */
        bool there = strstr(text, "module M 20 20") != NULL;
        if (!WIFEXITED(status) || there != (WEXITSTATUS(status) == 0))
            fail_msg("%s: status %x\n%s", fault, status, text);
    }
}

#endif

/* ---- running ---- */

struct own_case {
    const char *name;
    void (*run)(struct fixture *f);
};

static const struct own_case own_cases[] = {
    { "layout", layout },
    { "foreign_documents", foreign_documents },
    { "looking_for_damage", looking_for_damage },
    { "index_names", index_names },
    { "too_large", too_large },
    { "looking", looking },
    { "read_only_account", read_only_account },
    { "take_over_races", take_over_races },
    { "lost_answers", lost_answers },
    { "unknown_outcome", unknown_outcome },
#ifdef WSTYPED_FAULTS
    { "killed_anywhere", killed_anywhere },
    { "failing_anywhere", failing_anywhere },
    { "stopped_anywhere", stopped_anywhere },
#endif
};

static void run_own_cases(void **state)
{
    struct contract_run *run = *state;
    struct fixture f;

    fixture_open(&f, run->backend);
    ((const struct own_case *)(const void *)run->contract)->run(&f);
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    struct contract_run runs[ARRAY_LEN(own_cases) * 2];
    struct CMUnitTest tests[ARRAY_LEN(runs) + 3] = { cmocka_unit_test(open_errors),
                                                     cmocka_unit_test(by_config),
                                                     cmocka_unit_test(server_away) };
    char names[ARRAY_LEN(runs)][64];

    mongoc_init();
    if (argc == 6 && strcmp(argv[1], "child") == 0)
        child_main(argv + 2);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        start_server(&servers[i]);
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        const struct own_case *own = &own_cases[i / 2];
        runs[i] = (struct contract_run){ (const struct contract_case *)(const void *)own, &backends[i % 2] };
        snprintf(names[i], sizeof(names[i]), "%s: %s", backends[i % 2].name, own->name);
        tests[i + 3] =
            (struct CMUnitTest){ .name = names[i], .test_func = run_own_cases, .initial_state = &runs[i] };
    }
    int failed = run_contracts(backends, ARRAY_LEN(backends));
    failed += _cmocka_run_group_tests("mongo", tests, ARRAY_LEN(tests), NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        stop_server(&servers[i]);
    mongoc_cleanup();
    return failed;
}
