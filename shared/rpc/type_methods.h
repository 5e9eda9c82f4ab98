/*
 * type_methods: the one list of methods, from which both modes make their tables, and documentation is
 * printed.
 *
 * X(name, auth, flags, signature (see params.h), result, doc); each list in ascending order of names, and
 * TypeService, being the smaller name, goes first into a table.
 */
#ifndef SHARED_RPC_TYPE_METHODS_H
#define SHARED_RPC_TYPE_METHODS_H

#include "shared/rpc/method.h"

/* Namespace `TypeService`: what upstream lacks. */
#define SERVICE_METHODS(X) \
    X(describe, AUTH_NONE, METHOD_LOCAL, NOTHING, RESULT_LIST, "role, ids, version and target of this node")

/* The same on a DWS, which keeps types and checks objects; in the order of names. */
#define DWS_SERVICE_METHODS(X) \
    X(cache_flush, AUTH_REQUIRED, METHOD_LOCAL | METHOD_NEEDS_ROLE, ANY, RESULT_LIST, \
      "forgets the types that are kept here, or those of a module") \
    X(cache_info, AUTH_REQUIRED, METHOD_LOCAL | METHOD_NEEDS_ROLE, NOTHING, RESULT_LIST, \
      "the types that are kept here") \
    SERVICE_METHODS(X) \
    X(resolve_types, AUTH_NONE, METHOD_LOCAL, ANY, RESULT_LIST, \
      "absolute types, and schemas on request, of type names") \
    X(validate_objects, AUTH_NONE, METHOD_LOCAL, RAW, RESULT_LIST, \
      "checks objects: errors, ids, metadata, size and MD5")

/* Namespace `Workspace`. */
#define TYPE_METHODS(X) \
    X(administer, AUTH_REQUIRED, METHOD_WRITE | METHOD_NEEDS_ROLE, ANY, RESULT_LIST, \
      "a command for administrators") \
    X(get_admin_role, AUTH_REQUIRED, METHOD_LOCAL | METHOD_NEEDS_ROLE, NOTHING, RESULT_LIST, \
      "none, read or full") \
    X(get_all_func_info, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, "every function of a module") \
    X(get_all_type_info, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, "every type of a module") \
    X(get_func_info, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, "a function and what it uses") \
    X(get_jsonschema, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, "the JSON schema of a type") \
    X(get_module_info, AUTH_OPTIONAL, 0, GET_MODULE_INFO, RESULT_LIST, "one version of a module") \
    X(get_type_info, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, "a type, its versions, users and uses") \
    X(grant_module_ownership, AUTH_REQUIRED, METHOD_WRITE, GRANT_MODULE_OWNERSHIP, RESULT_VOID, \
      "makes a user an owner of a module") \
    X(list_all_types, AUTH_OPTIONAL, METHOD_ANY_USER, LIST_ALL_TYPES, RESULT_LIST, \
      "released types of all modules") \
    X(list_module_versions, AUTH_OPTIONAL, 0, LIST_MODULE_VERSIONS, RESULT_LIST, \
      "versions of a module, or with a type") \
    X(list_modules, AUTH_NONE, METHOD_NO_TOKEN, LIST_MODULES, RESULT_LIST, \
      "names of modules, of all or of an owner") \
    X(register_typespec, AUTH_REQUIRED, METHOD_WRITE, REGISTER_TYPESPEC, RESULT_LIST, \
      "compiles a typespec and stores it as a new module version") \
    X(register_typespec_copy, AUTH_REQUIRED, METHOD_WRITE, REGISTER_TYPESPEC_COPY, RESULT_LIST, \
      "registers a typespec read from another workspace") \
    X(release_module, AUTH_REQUIRED, METHOD_WRITE, STRING, RESULT_LIST, \
      "releases the newest version of a module") \
    X(remove_module_ownership, AUTH_REQUIRED, METHOD_WRITE, REMOVE_MODULE_OWNERSHIP, RESULT_VOID, \
      "takes ownership of a module away from a user") \
    X(request_module_ownership, AUTH_REQUIRED, METHOD_WRITE, STRING, RESULT_VOID, "asks for a new module") \
    X(status, AUTH_NONE, METHOD_LOCAL, NOTHING, RESULT_LIST, "state of this server and what it depends on") \
    X(translate_from_MD5_types, AUTH_NONE, METHOD_NO_TOKEN, STRING_LIST, RESULT_LIST, \
      "md5 type ids to version numbers") \
    X(translate_to_MD5_types, AUTH_OPTIONAL, 0, STRING_LIST, RESULT_LIST, "type ids to md5 type ids") \
    X(ver, AUTH_NONE, METHOD_LOCAL, NOTHING, RESULT_LIST, "version of the workspace service")

#endif
