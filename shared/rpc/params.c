#include "shared/rpc/params.h"

#include "shared/base/javahash.h"
#include "shared/base/utf.h"
#include "shared/rpc/convert.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/method.h"

/* The structures, as tables. */

#define FIELD(type, member, field_kind) \
    { \
#member, field_kind, offsetof(struct type, member) \
    }

static const struct param_field register_typespec_fields[] = {
    FIELD(register_typespec_params, spec, PARAM_STRING),
    FIELD(register_typespec_params, mod, PARAM_STRING),
    FIELD(register_typespec_params, new_types, PARAM_STRING_LIST),
    FIELD(register_typespec_params, remove_types, PARAM_STRING_LIST),
    FIELD(register_typespec_params, dependencies, PARAM_INT_MAP),
    FIELD(register_typespec_params, dryrun, PARAM_INT),
    FIELD(register_typespec_params, prev_ver, PARAM_INT),
};

static const struct param_field register_typespec_copy_fields[] = {
    FIELD(register_typespec_copy_params, external_workspace_url, PARAM_STRING),
    FIELD(register_typespec_copy_params, mod, PARAM_STRING),
    FIELD(register_typespec_copy_params, version, PARAM_INT),
};

static const struct param_field list_modules_fields[] = {
    FIELD(list_modules_params, owner, PARAM_STRING),
};

static const struct param_field list_module_versions_fields[] = {
    FIELD(list_module_versions_params, mod, PARAM_STRING),
    FIELD(list_module_versions_params, type, PARAM_STRING),
};

static const struct param_field get_module_info_fields[] = {
    FIELD(get_module_info_params, mod, PARAM_STRING),
    FIELD(get_module_info_params, ver, PARAM_INT),
};

static const struct param_field grant_module_ownership_fields[] = {
    FIELD(grant_module_ownership_params, mod, PARAM_STRING),
    FIELD(grant_module_ownership_params, new_owner, PARAM_STRING),
    FIELD(grant_module_ownership_params, with_grant_option, PARAM_INT),
};

static const struct param_field remove_module_ownership_fields[] = {
    FIELD(remove_module_ownership_params, mod, PARAM_STRING),
    FIELD(remove_module_ownership_params, old_owner, PARAM_STRING),
};

static const struct param_field list_all_types_fields[] = {
    FIELD(list_all_types_params, with_empty_modules, PARAM_INT),
};

/* signature, C structure's stem, Java's name */
#define STRUCTS(X) \
    X(REGISTER_TYPESPEC, register_typespec, "RegisterTypespecParams") \
    X(REGISTER_TYPESPEC_COPY, register_typespec_copy, "RegisterTypespecCopyParams") \
    X(LIST_MODULES, list_modules, "ListModulesParams") \
    X(LIST_MODULE_VERSIONS, list_module_versions, "ListModuleVersionsParams") \
    X(GET_MODULE_INFO, get_module_info, "GetModuleInfoParams") \
    X(GRANT_MODULE_OWNERSHIP, grant_module_ownership, "GrantModuleOwnershipParams") \
    X(REMOVE_MODULE_OWNERSHIP, remove_module_ownership, "RemoveModuleOwnershipParams") \
    X(LIST_ALL_TYPES, list_all_types, "ListAllTypesParams")

#define DEFINE_STRUCT(signature, stem, java_name) \
    static const struct param_struct stem##_struct = { \
        .name = java_name, \
        .java_class = "us.kbase.workspace." java_name, \
        .size = sizeof(struct stem##_params), \
        .fields = stem##_fields, \
        .field_count = ARRAY_LEN(stem##_fields), \
    }; \
    const struct param_spec param_spec_##signature[1] = { { PARAM_STRUCT, &stem##_struct } };

STRUCTS(DEFINE_STRUCT)

const struct param_spec param_spec_NOTHING[1] = { { PARAM_ANY, NULL } };
const struct param_spec param_spec_STRING[1] = { { PARAM_STRING, NULL } };
const struct param_spec param_spec_STRING_LIST[1] = { { PARAM_STRING_LIST, NULL } };
const struct param_spec param_spec_ANY[1] = { { PARAM_ANY, NULL } };
const struct param_spec param_spec_RAW[1] = { { PARAM_RAW, NULL } };

static int convert_param(struct convert *c, const struct json_val *val, const struct param_spec *spec,
                         union param_value *value)
{
    switch (spec->kind) {
    case PARAM_STRING:
        return convert_string(c, val, &value->text);
    case PARAM_INT:
        return convert_int(c, val, &value->integer);
    case PARAM_STRING_LIST:
        return convert_texts(c, val, &value->texts);
    case PARAM_INT_MAP:
        return convert_int_map(c, val, &value->map);
    case PARAM_STRUCT:
        return convert_struct(c, val, spec->type, &value->object);
    case PARAM_ANY:
        value->any = val;
        return 0;
    case PARAM_RAW:
        break;
    }
    return 0;
}

/* All between the brackets. */
static struct slice raw_param(const struct envelope *env)
{
    size_t begin = env->params->begin + 1, end = env->params->end - 1;

    return utf_trim(slice_of(env->body.p + begin, end - begin));
}

static const char wrong_count[] = "Wrong parameter count for method ";

/* Closes the parenthesis that the prefix opens. */
static int wrap_type_error(struct err *err, struct err *inner, size_t index, const char *method)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_addf(&text, "Wrong type of parameter %zu for method %s (", index, method);
    sbuf_add(&text, inner->text, inner->len);
    sbuf_addc(&text, ')');
    return err_set_text(err, ERR_PARAMS, sbuf_slice(&text));
}

int params_convert(const struct envelope *env, const struct method *method, struct arena *arena,
                   const union param_value **ret_values, struct err *err)
{
    AUTO_ERR(inner);
    struct convert c = {
        .body = env->body, .source = CONVERT_BODY, .code = ERR_PARAMS, .arena = arena, .err = &inner
    };
    const struct json_val *counted = env->last_params ? env->last_params : env->params;
    const struct json_val *val = env->params->first, *last = counted->first;
    bool raw = method->param_count == 1 && method->params->kind == PARAM_RAW;

    if (counted->count != method->param_count || (raw && env->params->count != 1))
        return err_set(err, ERR_PARAMS, "%s%s", wrong_count, method->name);
    union param_value *values = arena_zalloc(arena, (method->param_count + 1) * sizeof(*values));
    *ret_values = values;
    if (raw) {
        values[0].raw = raw_param(env);
        return 0;
    }
    for (size_t i = 0; i < method->param_count; i++) {
        const struct json_val *from = last->kind == JSON_KIND_NULL ? last : val;
        if (from ? convert_param(&c, from, &method->params[i], &values[i])
                 : convert_fail_missing(&c, env->params))
            return wrap_type_error(err, &inner, i, method->name);
        val = val ? val->next : NULL;
        last = last->next;
    }
    return 0;
}

bool params_has_trace(const struct err *err)
{
    return strncmp(err_text(err), wrong_count, sizeof(wrong_count) - 1) != 0;
}

int params_check_unexpected(const struct param_head *head, struct err *err)
{
    enum { MAP_CAPACITY = 16 };
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (!head->unknown_count)
        return 0;
    size_t *order = xcalloc(head->unknown_count, sizeof(*order));
    java_hash_order(head->unknown, head->unknown_count, MAP_CAPACITY, order);
    sbuf_addf(&text, "Unexpected arguments in %s:", head->type->name);
    for (size_t i = 0; i < head->unknown_count; i++) {
        sbuf_addc(&text, ' ');
        sbuf_add_slice(&text, head->unknown[order[i]]);
    }
    free(order);
    return err_set_text(err, ERR_ARGUMENT, sbuf_slice(&text));
}
