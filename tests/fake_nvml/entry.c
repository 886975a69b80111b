/* How every call begins and ends. */
#define _GNU_SOURCE
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct state state;
int references, visible;
struct handle boards[MAX_BOARDS];
struct handle devices[MAX_BOARDS][MAX_SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char loaded_driver[TEXT]; /* the driver this library came with: fixed until the process ends */

void begin(void)
{
    bool broken;
    pthread_mutex_lock(&lock);
    state_refresh(&state, getenv(STATE_VARIABLE), &broken);
}

int leave(int code)
{
    pthread_mutex_unlock(&lock);
    return code;
}

static void wait_us(int64_t delay_us)
{
    if (delay_us == FOR_EVER) { /* as a caller stuck in the kernel: nothing but SIGKILL ends it */
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        pthread_mutex_unlock(&lock);
        for (;;)
            pause();
    }
    struct timespec left = {delay_us / 1000000, delay_us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

int prescribed(const char *call, int board)
{
    int code = NVML_SUCCESS;
    for (int i = 0; i < state.faults; i++) {
        const struct fault *fault = &state.fault[i];
        if (fault->board != board || (strcmp(fault->call, call) != 0 && strcmp(fault->call, "*") != 0))
            continue;
        if (fault->delay_us)
            wait_us(fault->delay_us);
        else
            code = fault->code;
    }
    return code;
}

static void log_call(const char *call, const struct handle *handle)
{
    char line[256];
    int fd = state.log[0] ? open(state.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    int length = snprintf(line, sizeof line, "%d %s %s\n", getpid(), call, handle ? handle->uuid : "-");
    if (write(fd, line, (size_t)length) != length)
        perror("fake nvml: log");
    close(fd);
}

int board_index(const char *uuid)
{
    for (int i = 0; i < state.boards; i++)
        if (strcmp(state.board[i].uuid, uuid) == 0)
            return i;
    return -1;
}

static bool within(const struct handle *handle, const struct handle *first, size_t count)
{
    return handle >= first && handle < first + count;
}

const struct instance *instance_in(const struct board *board, int slot)
{
    for (int i = 0; i < board->instances.count; i++)
        if (state.instance[board->instances.first + i].slot == slot)
            return &state.instance[board->instances.first + i];
    return NULL;
}

int find(const char *call, const struct handle *handle, struct subject *subject)
{
    if (!within(handle, boards, MAX_BOARDS) && !within(handle, devices[0], MAX_BOARDS * MAX_SLOTS))
        return NVML_ERROR_INVALID_ARGUMENT;
    int index = board_index(handle->uuid);
    if (index < 0) /* pulled out since */
        return NVML_ERROR_GPU_IS_LOST;
    int code = prescribed(call, index);
    if (code != NVML_SUCCESS)
        return code;
    subject->board = &state.board[index];
    subject->instance = NULL;
    if (handle->slot < 0)
        return NVML_SUCCESS;
    subject->instance = subject->board->mig_current ? instance_in(subject->board, handle->slot) : NULL;
    return subject->instance ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static int check(const char *call, const struct handle *handle, struct subject *subject, bool initialised)
{
    bool broken = false;
    if (initialised && references == 0)
        return NVML_ERROR_UNINITIALIZED;
    if (!state_refresh(&state, getenv(STATE_VARIABLE), &broken))
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (broken)
        return NVML_ERROR_UNKNOWN;
    log_call(call, handle);
    if (!loaded_driver[0])
        strcpy(loaded_driver, state.driver);
    if (strcmp(loaded_driver, state.driver) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    int code = prescribed(call, -1);
    return code == NVML_SUCCESS && subject ? find(call, handle, subject) : code;
}

int enter_uninitialised(const char *call)
{
    pthread_mutex_lock(&lock);
    int code = check(call, NULL, NULL, false);
    return code == NVML_SUCCESS ? code : leave(code);
}

int enter(const char *call, const struct handle *handle, struct subject *subject)
{
    pthread_mutex_lock(&lock);
    int code = check(call, handle, subject, true);
    return code == NVML_SUCCESS ? code : leave(code);
}

int put_text(char *out, unsigned length, const char *text)
{
    if (!out || strlen(text) >= length)
        return out ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_ERROR_INVALID_ARGUMENT;
    strcpy(out, text);
    return NVML_SUCCESS;
}

uint64_t unix_us(int64_t monotonic_us)
{
    return (uint64_t)(monotonic_us + state.wall_offset_us);
}

int64_t monotonic_us(uint64_t unix_timestamp_us)
{
    return unix_timestamp_us ? (int64_t)unix_timestamp_us - state.wall_offset_us : INT64_MIN / 2;
}

bool alive(unsigned pid)
{
    return !state.check_pids || kill((pid_t)pid, 0) == 0 || errno == EPERM;
}
