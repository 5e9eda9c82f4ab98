/*
 * records: what goes into and comes out of a type database, as plain structs: no BSON, no SQL.  One struct
 * per kind of upstream document; field names are upstream's in C spelling.  All slices are borrowed from
 * whoever made the record.
 */
#ifndef TWS_STORE_RECORDS_H
#define TWS_STORE_RECORDS_H

#include "shared/base/arena.h"
#include "shared/base/base.h"
#include "shared/base/typename.h"

/* A request for a module, or an owner of one. */
struct rec_owner {
    struct slice module;
    struct slice user;
    bool can_grant; /* withChangeOwnersPrivilege */
};

/* module_version: its existence is the existence of the module. */
struct rec_pointers {
    struct slice module;
    int64_t last;     /* versionTime: newest module version, released or not */
    int64_t released; /* releasedVersionTime; the first, empty version until the first release */
    bool supported;
};

/* A type or function as one module version holds it. */
struct rec_entry {
    struct slice name;
    struct semver version;
    bool supported;
};

struct rec_include {
    struct slice module;
    int64_t version;
};

/* module_info_history: one module version. */
struct rec_info {
    struct slice module;
    int64_t version;
    bool first; /* made by the approval: description, md5, user, method and comment are null */
    struct slice description, md5, user, method, comment;
    size_t include_count, type_count, func_count;
    const struct rec_include *includes;
    const struct rec_entry *types, *funcs;
    bool released;
};

struct rec_spec {
    struct slice module;
    int64_t version;
    struct slice text;
};

/* module_type_schema, module_type_parse, module_func_parse. */
struct rec_row {
    struct slice module, name;
    struct semver version;
    int64_t module_version; /* the one that wrote the row */
    struct slice text;      /* empty when loading a catalogue */
    struct slice md5;       /* schema rows only */
};

/* type_refs, func_refs: the dependent (using) side and the type that is used. */
struct rec_edge {
    struct slice dep_module, dep_name;
    struct semver dep_version;
    int64_t dep_module_version;
    struct slice ref_module, ref_name;
    struct semver ref_version;
};

/* What a transition does, in the order in which a backend without transactions would write it. */
enum change_kind {
    CHANGE_ADD_REQUEST,   /* owner; conflict if anybody has requested the module */
    CHANGE_DROP_REQUESTS, /* owner.module, owner.user (p NULL: anybody's); none there is no error */
    CHANGE_PUT_OWNER,     /* owner: adds, or replaces the grant option */
    CHANGE_DROP_OWNER,    /* owner.module, owner.user; none there is no error */
    CHANGE_ADD_SCHEMA,    /* row */
    CHANGE_ADD_TYPE_PARSE,
    CHANGE_ADD_FUNC_PARSE,
    CHANGE_ADD_TYPE_REF, /* edge */
    CHANGE_ADD_FUNC_REF,
    CHANGE_ADD_SPEC,      /* spec */
    CHANGE_ADD_INFO,      /* info */
    CHANGE_SET_RELEASED,  /* pointers.module, pointers.last: in that info, which has to be there */
    CHANGE_ADD_MODULE,    /* pointers */
    CHANGE_MOVE_POINTERS, /* pointers; conflict if there is no such module */
    /* Repairs only; a conflict if there is no such record. */
    CHANGE_DROP_SCHEMA,     /* row.module, row.name, row.version */
    CHANGE_DROP_TYPE_PARSE, /* the same */
    CHANGE_DROP_FUNC_PARSE, /* the same */
    CHANGE_DROP_TYPE_REF,   /* edge: one record that is equal in all fields */
    CHANGE_DROP_FUNC_REF,   /* the same */
    CHANGE_DROP_SPEC,       /* spec.module, spec.version */
    CHANGE_DROP_INFO,       /* info.module, info.version */
};

struct change {
    enum change_kind kind;
    struct change *next;
    union {
        struct rec_owner owner;
        struct rec_row row;
        struct rec_edge edge;
        struct rec_spec spec;
        struct rec_info info;
        struct rec_pointers pointers;
    };
};

/* What planning read and the commit has to find unchanged. */
struct expectation {
    struct expectation *next;
    bool exists;
    struct rec_pointers pointers; /* module always; the rest if exists */
};

/* One transition, built in an arena, committed as a whole or not at all. */
struct change_set {
    struct arena *arena;
    struct expectation *expects, **expects_end;
    struct change *changes, **changes_end;
    size_t change_count;
};

void change_set_init(struct change_set *set, struct arena *arena);
void change_set_expect(struct change_set *set, bool exists, const struct rec_pointers *pointers);
/* The returned change is zeroed but for its kind; the caller fills it in. */
struct change *change_set_add(struct change_set *set, enum change_kind kind);

#endif
