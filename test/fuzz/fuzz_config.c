/* The config reader: any bytes give a config or problems, each problem one line. */
#include "shared/base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    AUTO_SBUF(report, SBUF_NO_LIMIT);
    AUTO(config_free_auto)
    struct config *config = config_parse(slice_of((const char *)data, size), "fuzz", &problems);

    if (!config != (problems.len > 0))
        abort();
    if (config)
        config_report(config, &report);
    if (problems.len && (problems.p[problems.len - 1] != '\n' || memchr(problems.p, '\r', problems.len)))
        abort();
    return 0;
}
