#include "shared/base/fault.h"

#ifdef WSTYPED_FAULTS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum action { ACTION_FAIL, ACTION_KILL, ACTION_STOP };

static const char *const action_names[] = {
    [ACTION_FAIL] = "fail", [ACTION_KILL] = "kill", [ACTION_STOP] = "stop"
};

static struct {
    pthread_mutex_t lock;
    bool ready;         /* the environment or a call of fault_arm() has been taken in */
    char *point;        /* NULL: none armed; without its `*` */
    bool prefix;        /* it had one */
    unsigned long left; /* hits until it happens; 0: it has */
    enum action action;
    int log; /* file descriptor, or -1 */
} state = { .lock = PTHREAD_MUTEX_INITIALIZER, .log = -1 };

static NORETURN void refuse(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static void arm(const char *spec)
{
    const char *count = strchr(spec, ':');
    char *end = NULL;

    unsigned long left = count ? strtoul(count + 1, &end, 10) : 0;
    if (!left || *end != ':')
        refuse("WSTYPED_FAULT is not <point>:<n>:<action>", spec);
    size_t action = 0;
    while (action < ARRAY_LEN(action_names) && strcmp(end + 1, action_names[action]) != 0)
        action++;
    if (action == ARRAY_LEN(action_names))
        refuse("WSTYPED_FAULT has an unknown action", spec);
    size_t n = (size_t)(count - spec);
    state.prefix = n && spec[n - 1] == '*';
    state.point = xmemdup(spec, n - state.prefix);
    state.left = left;
    state.action = (enum action)action;
}

static void setup(const char *spec, const char *log_path)
{
    free(state.point);
    state.point = NULL;
    if (state.log >= 0)
        close(state.log);
    state.log = -1;
    if (spec)
        arm(spec);
    if (log_path) {
        state.log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (state.log < 0)
            refuse("WSTYPED_FAULT_LOG cannot be opened", log_path);
    }
    state.ready = true;
}

void fault_arm(const char *spec, const char *log_path)
{
    pthread_mutex_lock(&state.lock);
    setup(spec, log_path);
    pthread_mutex_unlock(&state.lock);
}

static void write_log(const char *name)
{
    char *line = xasprintf("%s\n", name);

    if (write(state.log, line, strlen(line)) < 0)
        refuse("WSTYPED_FAULT_LOG cannot be written", name);
    free(line);
}

static bool matches(const char *name)
{
    return state.prefix ? strncmp(name, state.point, strlen(state.point)) == 0
                        : strcmp(name, state.point) == 0;
}

bool fault_point(const char *name)
{
    pthread_mutex_lock(&state.lock);
    if (!state.ready)
        setup(getenv("WSTYPED_FAULT"), getenv("WSTYPED_FAULT_LOG"));
    if (state.log >= 0)
        write_log(name);
    bool now = state.point && state.left && matches(name) && --state.left == 0;
    enum action action = state.action;
    pthread_mutex_unlock(&state.lock);
    if (now && action != ACTION_FAIL)
        raise(action == ACTION_KILL ? SIGKILL : SIGSTOP);
    return now && action == ACTION_FAIL;
}

#endif
