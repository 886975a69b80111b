/* What a board is, its energy and its power. */
#include <stdio.h>

#include "entry.h"
#include "model.h"

#define POWER_SAMPLES 120

EXPORT int nvmlDeviceGetName(const struct handle *handle, char *name, unsigned length)
{
    ENTER(handle);
    return leave(put_text(name, length, on.instance ? on.instance->name : on.board->name));
}

EXPORT int nvmlDeviceGetUUID(const struct handle *handle, char *uuid, unsigned length)
{
    ENTER(handle);
    return leave(put_text(uuid, length, on.instance ? on.instance->uuid : on.board->uuid));
}

EXPORT int nvmlDeviceGetPciInfo_v3(const struct handle *handle, nvml_pci_info *pci)
{
    ENTER_BOARD(handle);
    const struct board *b = on.board;
    *pci = (nvml_pci_info){.domain = b->pci_domain, .bus = b->pci_bus, .device = b->pci_device,
                           .pci_device_id = b->pci_id};
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.%u", b->pci_domain, b->pci_bus & 0xFF,
             b->pci_device & 0xFF, b->pci_function & 7);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%04X:%02X:%02X.%u", b->pci_domain & 0xFFFF,
             b->pci_bus & 0xFF, b->pci_device & 0xFF, b->pci_function & 7);
    return leave(NVML_SUCCESS);
}

UNSIGNED_GETTER(nvmlDeviceGetIndex, handle - boards)
UNSIGNED_GETTER(nvmlDeviceGetMinorNumber, on.board->minor)
UNSIGNED_GETTER(nvmlDeviceGetPersistenceMode, on.board->persistence)
UNSIGNED_GETTER(nvmlDeviceGetArchitecture, model_traits(on.board)->code)
UNSIGNED_GETTER(nvmlDeviceGetEnforcedPowerLimit, on.board->power_limit_mw)

static nvml_memory_v2 memory_of(const struct subject *on)
{
    const struct board *b = on->board;
    nvml_memory_v2 memory = {.total = b->memory_bytes, .reserved = b->reserved_bytes};
    if (on->instance)
        memory = (nvml_memory_v2){.total = on->instance->memory_mb << 20};
    for (int i = 0; i < b->contexts.count; i++) {
        const struct context *c = &state.context[b->contexts.first + i];
        if (alive(c->pid) && (!on->instance || c->gi == on->instance->gi))
            memory.used += c->bytes;
    }
    memory.free = memory.total - memory.reserved - memory.used;
    return memory;
}

EXPORT int nvmlDeviceGetMemoryInfo(const struct handle *handle, nvml_memory *out)
{
    ENTER(handle);
    nvml_memory_v2 memory = memory_of(&on);
    *out = (nvml_memory){memory.total, memory.free, memory.used + memory.reserved};
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(const struct handle *handle, nvml_memory_v2 *out)
{
    ENTER(handle);
    REQUIRE(out->version == NVML_VERSIONED(nvml_memory_v2, 2), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    unsigned version = out->version;
    *out = memory_of(&on);
    out->version = version;
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(const struct handle *handle, unsigned long long *energy_mj)
{
    ENTER_BOARD(handle);
    REQUIRE(model_traits(on.board)->energy, NVML_ERROR_NOT_SUPPORTED);
    *energy_mj = model_energy_mj(&state, on.board);
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetPowerUsage(const struct handle *handle, unsigned *power_mw)
{
    int64_t updated_us, mean_mw;
    ENTER_BOARD(handle);
    REQUIRE(model_power(&state, on.board, POWER_DEFAULT, model_now_us(&state), &updated_us, &mean_mw),
            NVML_ERROR_NOT_SUPPORTED);
    *power_mw = (unsigned)mean_mw;
    return leave(NVML_SUCCESS);
}

static int power_field(const struct board *b, nvml_field_value *v, enum power_kind kind, int64_t *updated_us)
{
    int64_t power_mw;
    if (!model_power(&state, b, kind, model_now_us(&state), updated_us, &power_mw))
        return NVML_ERROR_NOT_SUPPORTED;
    if (v->scope_id == NVML_POWER_SCOPE_MODULE && b->module_mw)
        power_mw += b->module_mw;
    else if (v->scope_id == NVML_POWER_SCOPE_MEMORY && b->memory_mw)
        power_mw = b->memory_mw;
    else if (v->scope_id != NVML_POWER_SCOPE_GPU)
        return NVML_ERROR_NOT_SUPPORTED;
    v->value.ui = (unsigned)power_mw;
    return NVML_SUCCESS;
}

static int field(const struct board *b, nvml_field_value *v)
{
    char name[64];
    int64_t updated_us = model_now_us(&state);
    snprintf(name, sizeof name, "field:%u:%u", v->field_id, v->scope_id);
    int code = prescribed(name, (int)(b - state.board));
    v->latency_us = 0;
    v->value.ull = 0;
    v->value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    v->timestamp_us = 0;
    if (code != NVML_SUCCESS)
        return code;
    switch (v->field_id) {
    case NVML_FI_DEV_POWER_AVERAGE:
    case NVML_FI_DEV_POWER_INSTANT:
        code = power_field(b, v, v->field_id == NVML_FI_DEV_POWER_AVERAGE ? POWER_AVERAGE : POWER_INSTANT,
                           &updated_us);
        break;
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
    case NVML_FI_DEV_ENERGY:
        if (!model_traits(b)->energy || v->scope_id != NVML_POWER_SCOPE_GPU)
            return NVML_ERROR_NOT_SUPPORTED;
        v->value_type = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        v->value.ull = model_energy_mj(&state, b);
        break;
    case NVML_FI_DEV_POWER_MAX_LIMIT:
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
        v->value.ui = (unsigned)b->power_limit_mw;
        break;
    default:
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (code == NVML_SUCCESS)
        v->timestamp_us = (int64_t)unix_us(updated_us);
    return code;
}

EXPORT int nvmlDeviceGetFieldValues(const struct handle *handle, int count, nvml_field_value *values)
{
    ENTER_BOARD(handle);
    for (int i = 0; i < count; i++)
        values[i].nvml_return = (uint32_t)field(on.board, &values[i]);
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlDeviceGetSamples(const struct handle *handle, unsigned type, unsigned long long last_seen_us,
                                unsigned *value_type, unsigned *count, nvml_sample *samples)
{
    ENTER_BOARD(handle);
    REQUIRE(type == NVML_TOTAL_POWER_SAMPLES, NVML_ERROR_NOT_SUPPORTED);
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (!samples) {
        *count = POWER_SAMPLES;
        return leave(NVML_SUCCESS);
    }
    int64_t period_us = model_traits(on.board)->period_us, now_us = model_now_us(&state);
    unsigned room = *count, filled = 0;
    for (int age = POWER_SAMPLES - 1; age >= 0; age--) {
        int64_t updated_us, power_mw;
        model_power(&state, on.board, POWER_INSTANT, now_us - age * period_us, &updated_us, &power_mw);
        if (unix_us(updated_us) <= last_seen_us || updated_us < 0)
            continue;
        REQUIRE(filled < room, NVML_ERROR_INSUFFICIENT_SIZE);
        samples[filled++] = (nvml_sample){unix_us(updated_us), {.ui = (unsigned)power_mw}};
    }
    *count = filled;
    return leave(filled ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND);
}
