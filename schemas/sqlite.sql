-- The type database in one SQLite file.  The first ten tables are the ten collections of the MongoDB layout, field by
-- field, with names in snake case; `lease` and `meta` are our own.
--
-- Versions of types are "major.minor" texts, module versions are times in milliseconds.  Texts may hold any bytes, also NUL.
-- The three maps of module_info_history are JSON objects as MongoDB holds them, in their stored order.
--
-- Everything but the documents is read once, at start, and answered from memory; so there are no indexes beside the unique
-- keys, and documents stand last in their rows, where reading the rest does not touch them.  There are no foreign keys:
-- what belongs together is the registry's to know, and all backends shall accept and refuse the same.

CREATE TABLE module_request (
    seq INTEGER PRIMARY KEY,
    owner_user_id TEXT NOT NULL,
    with_change_owners_privilege INTEGER NOT NULL,
    module_name TEXT NOT NULL,
    UNIQUE (module_name, owner_user_id)
) STRICT;

CREATE TABLE module_version (
    module_name TEXT NOT NULL PRIMARY KEY,
    version_time INTEGER NOT NULL,
    released_version_time INTEGER NOT NULL,
    supported INTEGER NOT NULL
) STRICT;

CREATE TABLE module_owner (
    owner_user_id TEXT NOT NULL,
    with_change_owners_privilege INTEGER NOT NULL,
    module_name TEXT NOT NULL,
    PRIMARY KEY (module_name, owner_user_id)
) STRICT;

CREATE TABLE module_info_history (
    module_name TEXT NOT NULL,
    included_module_name_to_version TEXT NOT NULL,
    types TEXT NOT NULL,
    funcs TEXT NOT NULL,
    description TEXT,
    md5hash TEXT,
    version_time INTEGER NOT NULL,
    upload_user_id TEXT,
    upload_method TEXT,
    upload_comment TEXT,
    released INTEGER NOT NULL,
    PRIMARY KEY (module_name, version_time)
) STRICT;

CREATE TABLE module_spec_history (
    module_name TEXT NOT NULL,
    version_time INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (module_name, version_time)
) STRICT;

CREATE TABLE module_type_schema (
    module_name TEXT NOT NULL,
    type_name TEXT NOT NULL,
    version TEXT NOT NULL,
    module_version INTEGER NOT NULL,
    md5hash TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (module_name, type_name, version)
) STRICT;

CREATE TABLE module_type_parse (
    module_name TEXT NOT NULL,
    type_name TEXT NOT NULL,
    version TEXT NOT NULL,
    module_version INTEGER NOT NULL,
    md5hash TEXT,
    document TEXT NOT NULL,
    PRIMARY KEY (module_name, type_name, version)
) STRICT;

CREATE TABLE module_func_parse (
    module_name TEXT NOT NULL,
    func_name TEXT NOT NULL,
    version TEXT NOT NULL,
    module_version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (module_name, func_name, version)
) STRICT;

CREATE TABLE type_refs (
    dep_module TEXT NOT NULL,
    dep_name TEXT NOT NULL,
    dep_version TEXT NOT NULL,
    dep_module_version INTEGER NOT NULL,
    ref_module TEXT NOT NULL,
    ref_name TEXT NOT NULL,
    ref_version TEXT NOT NULL
) STRICT;

CREATE TABLE func_refs (
    dep_module TEXT NOT NULL,
    dep_name TEXT NOT NULL,
    dep_version TEXT NOT NULL,
    dep_module_version INTEGER NOT NULL,
    ref_module TEXT NOT NULL,
    ref_name TEXT NOT NULL,
    ref_version TEXT NOT NULL
) STRICT;

-- The one writer.  The token grows whenever the lease changes hands, so a former holder's token is never right again.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token INTEGER NOT NULL,
    node TEXT, -- null: nobody has it
    host TEXT,
    pid INTEGER,
    renewed_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

INSERT INTO lease (id, token, renewed_ms, expires_ms) VALUES (1, 0, 0, 0);

-- cluster_id: names this type database, for good.
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
