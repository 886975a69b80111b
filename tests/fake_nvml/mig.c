/* MIG devices and GPM. */
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "model.h"

#define GPM_INTERVAL_US 100000

struct nvml_gpm_sample {
    char uuid[TEXT];
    unsigned gi;
    int64_t taken_us;
};

EXPORT int nvmlDeviceGetMigMode(const struct handle *handle, unsigned *current, unsigned *pending)
{
    ENTER_BOARD(handle);
    REQUIRE(on.board->mig_capable, NVML_ERROR_NOT_SUPPORTED);
    *current = on.board->mig_current;
    *pending = on.board->mig_pending;
    return leave(NVML_SUCCESS);
}

UNSIGNED_GETTER(nvmlDeviceGetMaxMigDeviceCount, on.board->mig_current ? on.board->mig_max : 0)

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(const struct handle *handle, unsigned index,
                                               const struct handle **out)
{
    ENTER_BOARD(handle);
    REQUIRE(on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    REQUIRE(index < on.board->mig_max && index < MAX_SLOTS, NVML_ERROR_INVALID_ARGUMENT);
    REQUIRE(instance_in(on.board, (int)index), NVML_ERROR_NOT_FOUND);
    *out = &devices[handle - boards][index];
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceIsMigDeviceHandle(const struct handle *handle, unsigned *out)
{
    ENTER(handle);
    *out = on.instance != NULL;
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const struct handle *handle,
                                                         const struct handle **out)
{
    ENTER(handle);
    REQUIRE(on.instance, NVML_ERROR_INVALID_ARGUMENT);
    *out = &boards[(handle - devices[0]) / MAX_SLOTS];
    return leave(NVML_SUCCESS);
}

#define INSTANCE_GETTER(call, member)                            \
    EXPORT int call(const struct handle *handle, unsigned *out)  \
    {                                                            \
        ENTER(handle);                                           \
        REQUIRE(on.instance, NVML_ERROR_NOT_SUPPORTED);          \
        *out = on.instance->member;                              \
        return leave(NVML_SUCCESS);                              \
    }

INSTANCE_GETTER(nvmlDeviceGetGpuInstanceId, gi)
INSTANCE_GETTER(nvmlDeviceGetComputeInstanceId, ci)

EXPORT int nvmlDeviceGetAttributes_v2(const struct handle *handle, nvml_device_attributes *out)
{
    ENTER(handle);
    REQUIRE(on.instance, NVML_ERROR_NOT_SUPPORTED);
    *out = (nvml_device_attributes){.multiprocessor_count = on.instance->multiprocessors,
                                    .shared_copy_engine_count = on.instance->gpu_slices,
                                    .gpu_instance_slice_count = on.instance->gpu_slices,
                                    .compute_instance_slice_count = on.instance->compute_slices,
                                    .memory_size_mb = on.instance->memory_mb};
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlGpmQueryDeviceSupport(const struct handle *handle, nvml_gpm_support *out)
{
    ENTER(handle);
    REQUIRE(out->version == NVML_GPM_VERSION, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    out->is_supported_device = model_traits(on.board)->gpm;
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlGpmSampleAlloc(nvml_gpm_sample **out)
{
    ENTER_LIBRARY();
    *out = calloc(1, sizeof **out);
    return leave(*out ? NVML_SUCCESS : NVML_ERROR_MEMORY);
}

EXPORT int nvmlGpmSampleFree(nvml_gpm_sample *sample)
{
    ENTER_LIBRARY();
    free(sample);
    return leave(NVML_SUCCESS);
}

static int gpm_take(const struct board *b, unsigned gi, nvml_gpm_sample *sample)
{
    REQUIRE(sample, NVML_ERROR_INVALID_ARGUMENT);
    REQUIRE(model_traits(b)->gpm, NVML_ERROR_NOT_SUPPORTED);
    strcpy(sample->uuid, b->uuid);
    sample->gi = gi;
    sample->taken_us = model_now_us(&state);
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlGpmSampleGet(const struct handle *handle, nvml_gpm_sample *sample)
{
    ENTER(handle);
    REQUIRE(on.instance || !on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    return gpm_take(on.board, on.instance ? on.instance->gi : NVML_NO_INSTANCE, sample);
}

EXPORT int nvmlGpmMigSampleGet(const struct handle *handle, unsigned gi, nvml_gpm_sample *sample)
{
    ENTER_BOARD(handle);
    REQUIRE(on.board->mig_current, NVML_ERROR_NOT_SUPPORTED);
    for (int i = 0; i < on.board->instances.count; i++)
        if (state.instance[on.board->instances.first + i].gi == gi)
            return gpm_take(on.board, gi, sample);
    return leave(NVML_ERROR_NOT_FOUND);
}

static unsigned gpm_metric(const nvml_gpm_sample *a, const nvml_gpm_sample *b, nvml_gpm_metric *metric)
{
    static const unsigned SERVED[METRICS] = {NVML_GPM_METRIC_GRAPHICS_UTIL, NVML_GPM_METRIC_SM_UTIL,
                                             NVML_GPM_METRIC_SM_OCCUPANCY, NVML_GPM_METRIC_ANY_TENSOR_UTIL,
                                             NVML_GPM_METRIC_DRAM_BW_UTIL};
    int index = board_index(a->uuid);
    if (index < 0)
        return NVML_ERROR_GPU_IS_LOST;
    if (b->taken_us - a->taken_us < GPM_INTERVAL_US)
        return NVML_ERROR_NO_DATA;
    for (int i = 0; i < METRICS; i++) {
        if (SERVED[i] != metric->metric_id)
            continue;
        metric->value = model_activity(&state, &state.board[index], a->gi, i, a->taken_us, b->taken_us);
        metric->info.short_name = metric->info.long_name = "fake";
        metric->info.unit = "%";
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

EXPORT int nvmlGpmMetricsGet(nvml_gpm_metrics_get *query)
{
    ENTER_LIBRARY();
    REQUIRE(query->version == NVML_GPM_VERSION, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    const nvml_gpm_sample *a = query->sample1, *b = query->sample2;
    REQUIRE(a && b && a->uuid[0] && strcmp(a->uuid, b->uuid) == 0 && a->gi == b->gi,
            NVML_ERROR_INVALID_ARGUMENT);
    for (unsigned i = 0; i < query->num_metrics; i++)
        query->metrics[i].nvml_return = gpm_metric(a, b, &query->metrics[i]);
    return leave(NVML_SUCCESS);
}
