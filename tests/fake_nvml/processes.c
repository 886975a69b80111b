/* Who uses a board. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "entry.h"
#include "model.h"

#define PROCESS_ANSWERS 100 /* what the size query of process utilisation always says */
#define ACCOUNTING_BUFFER 4000

EXPORT int nvmlDeviceGetUtilizationRates(const struct handle *handle, nvml_utilization *rates)
{
    ENTER(handle);
    REQUIRE(!on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    int64_t until_us = model_now_us(&state) / 100000 * 100000;
    rates->gpu = model_busy(&state, on.board, 0, until_us - 1000000, until_us) / 100;
    rates->memory = model_busy(&state, on.board, 1, until_us - 1000000, until_us) / 100;
    return leave(NVML_SUCCESS);
}

static int running(const char *call, const struct handle *handle, char kind, unsigned *count,
                   nvml_process_info *out)
{
    struct subject on;
    int code = enter(call, handle, &on);
    if (code != NVML_SUCCESS)
        return code;
    unsigned total = 0, room = out ? *count : 0;
    for (int i = 0; i < on.board->contexts.count; i++) {
        const struct context *c = &state.context[on.board->contexts.first + i];
        if (c->kind != kind || !alive(c->pid))
            continue;
        if (on.instance && (c->gi != on.instance->gi || c->ci != on.instance->ci))
            continue;
        if (total < room)
            out[total] = (nvml_process_info){c->pid, c->bytes, c->gi, c->ci};
        total++;
    }
    *count = total;
    return leave(total > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS);
}

#define PROCESS_LIST(call, kind)                                                              \
    EXPORT int call(const struct handle *handle, unsigned *count, nvml_process_info *out)     \
    {                                                                                         \
        return running(__func__, handle, kind, count, out);                                   \
    }

PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, 'c')
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, 'c')
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, 'g')
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, 'g')
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, 'm')
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, 'm')

/* Processes seen since a timestamp, and what real drivers add at times: no process, and impossible shares. */
static int seen_since(const struct board *b, uint64_t last_seen_us, nvml_process_utilization_info *out)
{
    struct seen seen[PROCESS_ANSWERS];
    int count = model_seen(&state, b, monotonic_us(last_seen_us), seen, PROCESS_ANSWERS / 2), filled = 0;
    for (int i = 0; i < count; i++) {
        const unsigned *share = seen[i].share;
        out[filled++] = (nvml_process_utilization_info){
            .timestamp_us = unix_us(seen[i].last_us), .pid = seen[i].pid, .sm_util = share[0] / 100,
            .mem_util = share[1] / 100, .enc_util = share[2] / 100, .dec_util = share[3] / 100};
    }
    for (unsigned i = 0; i < b->garbage && filled + 2 <= PROCESS_ANSWERS; i++) {
        out[filled++] = (nvml_process_utilization_info){.timestamp_us = last_seen_us, .sm_util = 50};
        out[filled++] = (nvml_process_utilization_info){
            .timestamp_us = unix_us(model_now_us(&state)), .pid = 4000000000u, .sm_util = 2863311530u};
    }
    return filled;
}

EXPORT int nvmlDeviceGetProcessUtilization(const struct handle *handle, nvml_process_utilization_sample *out,
                                           unsigned *count, unsigned long long last_seen_us)
{
    nvml_process_utilization_info found_now[PROCESS_ANSWERS];
    ENTER(handle);
    REQUIRE(!on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    if (!out) {
        *count = PROCESS_ANSWERS;
        return leave(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    unsigned room = *count, filled = (unsigned)seen_since(on.board, last_seen_us, found_now);
    *count = filled;
    REQUIRE(filled, NVML_ERROR_NOT_FOUND);
    REQUIRE(filled <= room, NVML_ERROR_INSUFFICIENT_SIZE);
    for (unsigned i = 0; i < filled; i++) {
        const nvml_process_utilization_info *p = &found_now[i];
        out[i] = (nvml_process_utilization_sample){p->pid, p->timestamp_us, p->sm_util,
                                                   p->mem_util, p->enc_util, p->dec_util};
    }
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetProcessesUtilizationInfo(const struct handle *handle,
                                                 nvml_processes_utilization_info *out)
{
    nvml_process_utilization_info found_now[PROCESS_ANSWERS];
    ENTER(handle);
    REQUIRE(out->version == NVML_VERSIONED(nvml_processes_utilization_info, 1),
            NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    REQUIRE(!on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    unsigned room = out->process_utilization ? out->process_samples_count : 0;
    out->process_samples_count = PROCESS_ANSWERS;
    REQUIRE(room, NVML_ERROR_INSUFFICIENT_SIZE);
    unsigned filled = (unsigned)seen_since(on.board, out->last_seen_timestamp_us, found_now);
    out->process_samples_count = filled;
    REQUIRE(filled, NVML_ERROR_NOT_FOUND);
    REQUIRE(filled <= room, NVML_ERROR_INSUFFICIENT_SIZE);
    memcpy(out->process_utilization, found_now, filled * sizeof *found_now);
    return leave(NVML_SUCCESS);
}

/* The accounting mode that a caller sets lies beside the state file, for other processes to see. */
static void accounting_path(const struct board *b, char *path, size_t length)
{
    snprintf(path, length, "%s.accounting.%s", getenv(STATE_VARIABLE), b->uuid);
}

static unsigned accounting_mode(const struct board *b)
{
    char path[4096];
    accounting_path(b, path, sizeof path);
    FILE *file = fopen(path, "re");
    unsigned mode = b->accounting;
    if (file) {
        if (fscanf(file, "%u", &mode) != 1)
            mode = b->accounting;
        fclose(file);
    }
    return mode;
}

UNSIGNED_GETTER(nvmlDeviceGetAccountingMode, accounting_mode(on.board))
UNSIGNED_GETTER(nvmlDeviceGetAccountingBufferSize, ACCOUNTING_BUFFER)

EXPORT int nvmlDeviceSetAccountingMode(const struct handle *handle, unsigned mode)
{
    char path[4096];
    ENTER_BOARD(handle);
    REQUIRE(geteuid() == 0, NVML_ERROR_NO_PERMISSION);
    REQUIRE(mode <= 1, NVML_ERROR_INVALID_ARGUMENT);
    accounting_path(on.board, path, sizeof path);
    FILE *file = fopen(path, "we");
    REQUIRE(file, NVML_ERROR_UNKNOWN);
    fprintf(file, "%u\n", mode);
    fclose(file);
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetAccountingPids(const struct handle *handle, unsigned *count, unsigned *pids)
{
    ENTER_BOARD(handle);
    REQUIRE(accounting_mode(on.board), NVML_ERROR_NOT_SUPPORTED);
    unsigned room = *count;
    *count = (unsigned)on.board->accounts.count;
    REQUIRE(*count <= room && (pids || !*count), NVML_ERROR_INSUFFICIENT_SIZE);
    for (unsigned i = 0; i < *count; i++)
        pids[i] = state.account[on.board->accounts.first + (int)i].pid;
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetAccountingStats(const struct handle *handle, unsigned pid, nvml_accounting_stats *out)
{
    ENTER_BOARD(handle);
    REQUIRE(accounting_mode(on.board), NVML_ERROR_NOT_SUPPORTED);
    for (int i = on.board->accounts.count - 1; i >= 0; i--) { /* of several with one pid the latest counts */
        const struct account *a = &state.account[on.board->accounts.first + i];
        if (a->pid != pid)
            continue;
        *out = (nvml_accounting_stats){.gpu_utilization = a->sm, .memory_utilization = a->memory,
                                       .max_memory_usage = a->max_bytes, .time_ms = a->time_ms,
                                       .start_time_us = a->start_us, .is_running = a->running};
        return leave(NVML_SUCCESS);
    }
    return leave(NVML_ERROR_NOT_FOUND);
}
