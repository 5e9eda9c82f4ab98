#include "shared/rpc/admin_command.h"

#include "shared/rpc/convert.h"

static const char java_class[] = "us.kbase.workspace.kbase.admin.AdminCommand";

static int read_members(struct convert *c, const struct json_val *val, struct admin_command *command)
{
    const struct {
        const char *key;
        struct param_text *to;
    } texts[] = { { "command", &command->command },
                  { "module", &command->module },
                  { "user", &command->user } };

    for (const struct json_val *m = val->first; m; m = m->next) {
        size_t i = 0;
        while (i < ARRAY_LEN(texts) && !slice_is(m->key, texts[i].key))
            i++;
        if (i < ARRAY_LEN(texts)) {
            convert_enter_key(c, java_class, m->key);
            int rc = convert_string(c, m, texts[i].to);
            convert_leave(c);
            if (rc)
                return rc;
        } else if (slice_is(m->key, "params")) {
            command->params = m->kind == JSON_KIND_NULL ? NULL : m;
        } else {
            return convert_fail_unknown(c, m, java_class, "\"command\", \"module\", \"user\", \"params\"", 4);
        }
    }
    return 0;
}

int admin_command_read(struct slice body, const struct json_val *val, struct arena *arena,
                       struct admin_command *ret_command, struct err *err)
{
    AUTO_ERR(inner);
    struct convert c = {
        .body = body, .source = CONVERT_BODY, .code = ERR_ARGUMENT, .arena = arena, .err = &inner
    };
    struct admin_command command = { .params = NULL };
    int rc = convert_check_object(&c, val, java_class);

    if (!rc && val->kind == JSON_KIND_NULL)
        rc = err_set(&inner, ERR_ARGUMENT, "the command is null");
    if (!rc)
        rc = read_members(&c, val, &command);
    if (rc) {
        err_prefix(&inner, "Unable to deserialize a workspace admin command from the input: ");
        return err_move(err, &inner);
    }
    *ret_command = command;
    return 0;
}

int admin_command_params(struct slice body, const struct admin_command *command,
                         const struct param_spec *spec, struct arena *arena, const void **ret_object,
                         struct err *err)
{
    AUTO_ERR(inner);
    struct convert c = { .body = body, .code = ERR_ARGUMENT, .arena = arena, .err = &inner };

    if (!command->params)
        return err_set(err, ERR_ARGUMENT, "Method parameters %s may not be null", spec->type->name);
    if (!convert_struct(&c, command->params, spec->type, ret_object))
        return 0;
    err_prefix(&inner, "Unable to deserialize %s out of params field: ", spec->type->name);
    return err_move(err, &inner);
}
