#include "shared/rpc/method.h"

static int compare_name(struct slice name, const char *other)
{
    size_t n = strlen(other), least = name.n < n ? name.n : n;
    int c = least ? memcmp(name.p, other, least) : 0;

    return c ? c : (name.n > n) - (name.n < n);
}

const struct method *method_find(const struct method_table *table, struct slice full_name)
{
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare_name(full_name, table->rows[mid].name);
        if (c == 0)
            return &table->rows[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

int method_set_unknown(struct err *err, struct slice full_name)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Can not find method [");
    sbuf_add_slice(&text, full_name);
    sbuf_adds(&text, "] in server class us.kbase.workspace.WorkspaceServer");
    return err_set_text(err, ERR_METHOD, sbuf_slice(&text));
}

bool method_table_valid(const struct method_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct method *m = &table->rows[i];
        if (!m->name || !m->params || !m->run || !m->doc)
            return false;
        if (i && strcmp(table->rows[i - 1].name, m->name) >= 0)
            return false;
    }
    return true;
}
