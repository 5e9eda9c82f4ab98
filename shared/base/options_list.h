/* clang-format off */
/*
 * options_list: THE table of options.  Everything about a key of deploy.cfg stands in its row; struct config,
 * the reader, `wstyped config --explain` and deploy.cfg.example are made from it.
 *
 * OPTION(field, key, KIND, default, min, max, modes, flags, doc)
 *   KIND     TEXT, PATH, URL, HOST: const char *, NULL when not given
 *            INT, BYTES (plain, or with k, M, G = 1024-based), SECONDS (decimals allowed; field in microseconds):
 *            int64_t, with min and max in the unit of the key
 *            BOOL (true|false), CHOICE (default lists the choices, first is the default): int64_t index
 *            LIST (comma separated, blanks and empty items dropped): struct config_list
 *   default  as text in the file, "" = not given
 *   modes    TWS, DWS or BOTH
 *   flags    SECRET: never printed
 *
 * UPSTREAM(key, doc): keys of the Java service that do not concern types; accepted and listed once as unused.  A key that
 * ends in `*` stands for all with that beginning.
 *
 * SECTION(text): a heading; whoever does not care leaves it undefined.
 */
#ifndef SECTION
#define SECTION(text)
#endif

SECTION("Which service this is")
OPTION(mode, "mode", CHOICE, "auto|tws|dws", 0, 0, BOTH, 0,
       "auto: a DWS if type-delegation-target is given, else a TWS. Needed only where both a type database and a target are given.")
OPTION(listen_address, "listen-address", TEXT, "0.0.0.0", 0, 0, BOTH, 0, "Address to listen on, e.g. 127.0.0.1 or ::1.")
OPTION(port, "port", INT, "7058", 0, 65535, BOTH, 0, "Port to listen on; 0 picks a free one.")

SECTION("The type database (TWS)")
OPTION(type_database_file, "type-database-file", PATH, "", 0, 0, TWS, 0,
       "SQLite file that holds the type database; made if missing. Instead of the mongodb keys.")
OPTION(mongodb_host, "mongodb-host", TEXT, "", 0, 0, TWS, 0, "host[:port] of the MongoDB server, a comma list of them, or a mongodb:// URI.")
OPTION(mongodb_type_database, "mongodb-type-database", TEXT, "", 0, 0, TWS, 0, "Name of the type database in MongoDB.")
OPTION(mongodb_database, "mongodb-database", TEXT, "", 0, 0, BOTH, 0,
       "Name of the workspace database. Not opened; only compared, because the type database must be another one.")
OPTION(mongodb_user, "mongodb-user", TEXT, "", 0, 0, TWS, 0, "MongoDB account, authenticated against the type database.")
OPTION(mongodb_pwd, "mongodb-pwd", TEXT, "", 0, 0, TWS, SECRET, "Password of mongodb-user.")
OPTION(mongodb_retrywrites, "mongodb-retrywrites", BOOL, "false", 0, 0, TWS, 0, "Let the driver retry single writes.")
OPTION(mongodb_server_selection_timeout, "mongodb-server-selection-timeout", SECONDS, "10", 0.1, 600, TWS, 0,
       "Limit for finding a MongoDB server that can be written to, for each call.")
OPTION(mongodb_connect_timeout, "mongodb-connect-timeout", SECONDS, "5", 0.1, 600, TWS, 0, "Limit for a connection to MongoDB.")
OPTION(mongodb_socket_timeout, "mongodb-socket-timeout", SECONDS, "20", 0.1, 3600, TWS, 0, "Limit for one answer of MongoDB.")
OPTION(mongodb_start_timeout, "mongodb-start-timeout", SECONDS, "60", 0, 86400, TWS, 0,
       "How long to wait at start for a MongoDB server that is down.")
OPTION(type_database_lease, "type-database-lease", SECONDS, "15", 1, 600, TWS, 0,
       "Life of the writer lease: so long after the last sign of life is the type database of a dead TWS taken over.")
OPTION(standby, "standby", BOOL, "false", 0, 0, TWS, 0,
       "While another process owns the type database: wait, not ready, and take over when that one is gone, instead of ending.")
OPTION(read_only, "read-only", BOOL, "false", 0, 0, TWS, 0, "Never write to the type database; every change is refused.")
OPTION(read_only_when_fenced, "read-only-when-fenced", BOOL, "false", 0, 0, TWS, 0,
       "After losing the type database to another process: go on answering reads from memory, not ready, instead of ending.")

SECTION("Delegation (DWS)")
OPTION(type_delegation_target, "type-delegation-target", URL, "", 0, 0, DWS, 0,
       "URL of the type workspace service; makes this process a DWS.")
OPTION(delegation_max_hops, "delegation-max-hops", INT, "1", 1, 16, DWS, 0,
       "How many DWS a call may pass before the TWS; more than 1 allows chains of DWS.")
OPTION(delegation_start_timeout, "delegation-start-timeout", SECONDS, "60", 0, 86400, DWS, 0,
       "How long to wait at start for a target that is down.")
OPTION(start_degraded, "start-degraded", BOOL, "false", 0, 0, DWS, 0,
       "Start, not ready, although the target is still down after delegation-start-timeout.")
OPTION(delegation_connect_timeout, "delegation-connect-timeout", SECONDS, "5", 0.1, 600, DWS, 0, "Limit for a connection to the target.")
OPTION(delegation_first_byte_timeout, "delegation-first-byte-timeout", SECONDS, "120", 0.1, 86400, DWS, 0,
       "Limit from sending a call to the first byte of the answer.")
OPTION(delegation_timeout, "delegation-timeout", SECONDS, "600", 0.1, 86400, DWS, 0, "Limit for a whole forwarded call.")
OPTION(delegation_max_connections, "delegation-max-connections", INT, "64", 1, 10000, DWS, 0, "Connections to the target at a time.")
OPTION(delegation_queue, "delegation-queue", INT, "1024", 1, 1000000, DWS, 0,
       "Calls that may wait for a connection; one more is answered with an error at once.")
OPTION(delegation_check_interval, "delegation-check-interval", SECONDS, "60", 1, 86400, DWS, 0,
       "How often the target's identity is checked.")
OPTION(delegation_max_answer, "delegation-max-answer", BYTES, "1G", 1024, 1e12, DWS, 0, "Largest answer of the target that is passed on.")

SECTION("Types kept at the edge (DWS)")
OPTION(type_schema_cache_max_size, "type-schema-cache-max-size", BYTES, "1M", 0, 1e12, DWS, 0,
       "Memory for schemas and what was compiled from them, by absolute type; they never expire.")
OPTION(type_mapping_cache_time, "type-mapping-cache-time", SECONDS, "300", 0, 31536000, DWS, 0,
       "How long it is trusted which version a type name without (full) version means.")
OPTION(type_mapping_cache_max_size, "type-mapping-cache-max-size", BYTES, "100M", 0, 1e12, DWS, 0, "Memory for that.")
OPTION(type_mapping_max_stale, "type-mapping-max-stale", SECONDS, "0", 0, 31536000, DWS, 0,
       "How much longer it may serve while the target cannot be asked; answers then say stale.")
OPTION(type_negative_cache_time, "type-negative-cache-time", SECONDS, "2", 0, 3600, DWS, 0,
       "How long the target's word that there is no such type or module is trusted.")
OPTION(type_load_timeout, "type-load-timeout", SECONDS, "30", 0.1, 3600, DWS, 0,
       "Limit for fetching a type; whoever waits for it waits no longer.")
OPTION(dws_snapshot_file, "dws-snapshot-file", PATH, "", 0, 0, DWS, 0,
       "File that keeps both caches over a restart, so that objects can be checked while the target is down.")
OPTION(dws_snapshot_interval, "dws-snapshot-interval", SECONDS, "60", 1, 86400, DWS, 0, "How often that file is written.")

SECTION("Users and admins")
OPTION(auth2_service_url, "auth2-service-url", URL, "", 0, 0, BOTH, 0, "Root URL of the KBase auth2 service.")
OPTION(auth2_ws_admin_full_roles, "auth2-ws-admin-full-roles", LIST, "", 0, 0, BOTH, 0, "auth2 custom roles that make a full admin.")
OPTION(auth2_ws_admin_read_only_roles, "auth2-ws-admin-read-only-roles", LIST, "", 0, 0, BOTH, 0,
       "auth2 custom roles that make a read-only admin.")
OPTION(ws_admin, "ws-admin", TEXT, "", 0, 0, BOTH, 0, "Name of one full admin; only without the two role keys.")
OPTION(auth_tokens_file, "auth-tokens-file", PATH, "", 0, 0, BOTH, 0,
       "File of users and hashed tokens, instead of auth2-service-url; see `wstyped token`.")
OPTION(auth_timeout, "auth-timeout", SECONDS, "10", 0.1, 600, BOTH, 0, "Limit for one question to the auth2 service.")
OPTION(auth_cache_time, "auth-cache-time", SECONDS, "300", 0, 86400, BOTH, 0, "How long a checked token or role is trusted.")
OPTION(auth_cache_size, "auth-cache-size", INT, "2000", 1, 1000000, BOTH, 0, "Most tokens kept; above, the older half goes.")

SECTION("Work with types (TWS)")
OPTION(max_spec_size, "max-spec-size", BYTES, "1M", 1024, 1e9, TWS, 0, "Largest typespec that is compiled.")
OPTION(write_queue_timeout, "write-queue-timeout", SECONDS, "30", 0.1, 3600, TWS, 0,
       "How long a change waits for other changes of its module.")
OPTION(text_cache_size, "text-cache-size", BYTES, "64M", 0, 1e12, TWS, 0, "Memory for specs, schemas and parse trees read from the database.")
OPTION(typespec_copy_hosts, "typespec-copy-hosts", LIST, "", 0, 0, TWS, 0,
       "Hosts (host or host:port) for register_typespec_copy that get the caller's token, may use plain http, and may be private addresses.")
OPTION(typespec_copy_timeout, "typespec-copy-timeout", SECONDS, "60", 0.1, 3600, TWS, 0, "Limit for one question to the server that is copied from.")

SECTION("The server")
OPTION(server_threads, "server-threads", INT, "0", 0, 256, BOTH, 0, "Threads for network events; 0 = one per processor.")
OPTION(worker_threads, "worker-threads", INT, "8", 1, 256, BOTH, 0, "Threads for work that waits for the database or takes long.")
OPTION(worker_queue, "worker-queue", INT, "4096", 1, 1000000, BOTH, 0, "Calls that may wait for a worker; one more is answered with an error at once.")
OPTION(max_connections, "max-connections", INT, "1000", 1, 100000, BOTH, 0, "Client connections at a time.")
OPTION(max_header_size, "max-header-size", BYTES, "32k", 4096, 1e6, BOTH, 0, "Largest head of a request.")
OPTION(max_body_size, "max-body-size", BYTES, "1005000000", 1024, 1e11, BOTH, 0, "Largest request; upstream's limit.")
OPTION(body_memory, "body-memory", BYTES, "1M", 1024, 1e9, BOTH, 0, "Requests and answers above this wait in temp-dir instead of in memory.")
OPTION(temp_dir, "temp-dir", PATH, "/tmp", 0, 0, BOTH, 0, "Directory for large requests; made if missing.")
OPTION(max_json_depth, "max-json-depth", INT, "5000", 10, 100000, BOTH, 0, "Deepest nesting of a request.")
OPTION(idle_timeout, "idle-timeout", SECONDS, "60", 1, 3600, BOTH, 0, "A connection on which nothing happens is closed after this.")
OPTION(header_timeout, "header-timeout", SECONDS, "30", 0.1, 3600, BOTH, 0, "Limit for sending the head of a request.")
OPTION(request_timeout, "request-timeout", SECONDS, "1800", 1, 86400, BOTH, 0, "Limit for a whole request, from its first byte to the last of the answer.")
OPTION(drain_delay, "drain-delay", SECONDS, "0", 0, 600, BOTH, 0,
       "How long after SIGTERM calls are still taken, while /ready says 503, so that a load balancer can turn away; a second SIGTERM ends it.")
OPTION(drain_timeout, "drain-timeout", SECONDS, "8", 0, 600, BOTH, 0, "How long SIGTERM, after drain-delay, waits for what is in progress.")
OPTION(dont_trust_x_ip_headers, "dont-trust-x-ip-headers", BOOL, "false", 0, 0, BOTH, 0, "Ignore X-Forwarded-For and X-Real-IP.")
OPTION(dont_trust_x_ip_headers2, "dont_trust_x_ip_headers", BOOL, "false", 0, 0, BOTH, 0, "The same, upstream's other spelling.")
OPTION(log_file, "log-file", PATH, "", 0, 0, BOTH, 0, "Log there instead of to standard output; SIGHUP opens it anew.")
OPTION(log_level, "log-level", CHOICE, "info|error|debug", 0, 0, BOTH, 0, "error: failures only; info: one line per request and events; debug: more.")

UPSTREAM("backend-type", "object storage of the workspace")
UPSTREAM("backend-token", "object storage")
UPSTREAM("backend-url", "object storage")
UPSTREAM("backend-user", "object storage")
UPSTREAM("backend-container", "object storage")
UPSTREAM("backend-region", "object storage")
UPSTREAM("backend-trust-all-ssl-certificates", "object storage")
UPSTREAM("bytestream-url", "blobstore")
UPSTREAM("bytestream-user", "blobstore")
UPSTREAM("bytestream-token", "blobstore")
UPSTREAM("sample-service-url", "sample service")
UPSTREAM("sample-service-administrator-token", "sample service")
UPSTREAM("ignore-handle-service", "handle service")
UPSTREAM("handle-service-url", "handle service")
UPSTREAM("handle-service-token", "handle service")
UPSTREAM("handle-manager-token", "handle service")
UPSTREAM("listeners", "object event listeners")
UPSTREAM("listener-*", "object event listeners")
UPSTREAM("min-memory", "memory of the Java container")
UPSTREAM("max-memory", "memory of the Java container")
UPSTREAM("mlog_log_level", "upstream's logger; see log-level")
UPSTREAM("mlog_log_file", "upstream's logger; see log-file")
/* clang-format on */
#undef SECTION
