/* The part of NVML's binary interface that the fake answers: numbers and layouts of nvml.h 12 and 13. */
#ifndef FAKE_NVML_ABI_H
#define FAKE_NVML_ABI_H

#include <stdint.h>

enum nvml_return {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_MEMORY = 20,
    NVML_ERROR_NO_DATA = 21,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_UNKNOWN = 999,
};

enum nvml_architecture {
    NVML_DEVICE_ARCH_KEPLER = 2,
    NVML_DEVICE_ARCH_MAXWELL = 3,
    NVML_DEVICE_ARCH_PASCAL = 4,
    NVML_DEVICE_ARCH_VOLTA = 5,
    NVML_DEVICE_ARCH_TURING = 6,
    NVML_DEVICE_ARCH_AMPERE = 7,
    NVML_DEVICE_ARCH_ADA = 8,
    NVML_DEVICE_ARCH_HOPPER = 9,
    NVML_DEVICE_ARCH_BLACKWELL = 10,
};

enum nvml_value_type {
    NVML_VALUE_TYPE_UNSIGNED_INT = 1,
    NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3,
};

enum nvml_field {
    NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION = 83,
    NVML_FI_DEV_POWER_AVERAGE = 185,
    NVML_FI_DEV_POWER_INSTANT = 186,
    NVML_FI_DEV_POWER_MAX_LIMIT = 188,
    NVML_FI_DEV_POWER_DEFAULT_LIMIT = 189,
    NVML_FI_DEV_POWER_CURRENT_LIMIT = 190,
    NVML_FI_DEV_ENERGY = 191,
    NVML_FI_DEV_POWER_REQUESTED_LIMIT = 192,
};

enum nvml_power_scope { NVML_POWER_SCOPE_GPU = 0, NVML_POWER_SCOPE_MODULE = 1, NVML_POWER_SCOPE_MEMORY = 2 };

enum nvml_gpm_metric {
    NVML_GPM_METRIC_GRAPHICS_UTIL = 1,
    NVML_GPM_METRIC_SM_UTIL = 2,
    NVML_GPM_METRIC_SM_OCCUPANCY = 3,
    NVML_GPM_METRIC_ANY_TENSOR_UTIL = 5,
    NVML_GPM_METRIC_DRAM_BW_UTIL = 10,
};

#define NVML_TOTAL_POWER_SAMPLES 0u
#define NVML_INIT_FLAG_NO_GPUS 1u
#define NVML_NO_INSTANCE 0xFFFFFFFFu
#define NVML_VALUE_NOT_AVAILABLE UINT64_MAX
#define NVML_GPM_METRIC_MAX 477
#define NVML_GPM_VERSION 1u
#define NVML_VERSIONED(type, version) ((unsigned)sizeof(type) | ((unsigned)(version) << 24))

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} nvml_pci_info;

typedef struct {
    unsigned pid;
    uint64_t used_gpu_memory;
    unsigned gpu_instance_id, compute_instance_id;
} nvml_process_info;

typedef union {
    double d;
    unsigned ui;
    unsigned long long ull;
} nvml_value;

typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp_us, latency_us;
    uint32_t value_type, nvml_return;
    nvml_value value;
} nvml_field_value;

typedef struct {
    uint64_t timestamp_us;
    nvml_value value;
} nvml_sample;

typedef struct {
    unsigned gpu, memory;
} nvml_utilization;

typedef struct {
    uint64_t total, free, used;
} nvml_memory;

typedef struct {
    unsigned version;
    uint64_t total, reserved, free, used;
} nvml_memory_v2;

typedef struct {
    unsigned pid;
    uint64_t timestamp_us;
    unsigned sm_util, mem_util, enc_util, dec_util;
} nvml_process_utilization_sample;

typedef struct {
    uint64_t timestamp_us;
    unsigned pid, sm_util, mem_util, enc_util, dec_util, jpg_util, ofa_util;
} nvml_process_utilization_info;

typedef struct {
    unsigned version, process_samples_count;
    uint64_t last_seen_timestamp_us;
    nvml_process_utilization_info *process_utilization;
} nvml_processes_utilization_info;

typedef struct {
    unsigned gpu_utilization, memory_utilization;
    uint64_t max_memory_usage, time_ms, start_time_us;
    unsigned is_running, reserved[5];
} nvml_accounting_stats;

typedef struct {
    unsigned multiprocessor_count, shared_copy_engine_count, shared_decoder_count, shared_encoder_count;
    unsigned shared_jpeg_count, shared_ofa_count, gpu_instance_slice_count, compute_instance_slice_count;
    uint64_t memory_size_mb;
} nvml_device_attributes;

typedef struct {
    unsigned version, is_supported_device;
} nvml_gpm_support;

typedef struct nvml_gpm_sample nvml_gpm_sample;

typedef struct {
    unsigned metric_id, nvml_return;
    double value;
    struct {
        const char *short_name, *long_name, *unit;
    } info;
} nvml_gpm_metric;

typedef struct {
    unsigned version, num_metrics;
    nvml_gpm_sample *sample1, *sample2;
    nvml_gpm_metric metrics[NVML_GPM_METRIC_MAX];
} nvml_gpm_metrics_get;

#define ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " differs from nvml.h")
ASSERT_SIZE(nvml_pci_info, 68);
ASSERT_SIZE(nvml_process_info, 24);
ASSERT_SIZE(nvml_field_value, 40);
ASSERT_SIZE(nvml_sample, 16);
ASSERT_SIZE(nvml_memory, 24);
ASSERT_SIZE(nvml_memory_v2, 40);
ASSERT_SIZE(nvml_process_utilization_sample, 32);
ASSERT_SIZE(nvml_process_utilization_info, 40);
ASSERT_SIZE(nvml_processes_utilization_info, 24);
ASSERT_SIZE(nvml_accounting_stats, 56);
ASSERT_SIZE(nvml_device_attributes, 40);
ASSERT_SIZE(nvml_gpm_metric, 40);
ASSERT_SIZE(nvml_gpm_metrics_get, 19104);

#endif
