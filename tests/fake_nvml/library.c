/* The library itself: beginning, ending, and finding boards. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "entry.h"

static int device_fd = -1; /* as a real library holds /dev/nvidiactl */

EXPORT int nvmlInitWithFlags(unsigned flags)
{
    int code = enter_uninitialised(__func__);
    if (code != NVML_SUCCESS)
        return code;
    REQUIRE(state.boards > 0 || (flags & NVML_INIT_FLAG_NO_GPUS), NVML_ERROR_NOT_FOUND);
    if (references++ > 0)
        return leave(NVML_SUCCESS);
    if (state.device_file[0])
        device_fd = open(state.device_file, O_RDWR | O_CLOEXEC);
    visible = state.boards; /* what is plugged in later appears after the next initialisation */
    for (int i = 0; i < visible; i++) {
        boards[i].slot = -1;
        strcpy(boards[i].uuid, state.board[i].uuid);
        for (int slot = 0; slot < MAX_SLOTS; slot++) {
            devices[i][slot].slot = slot;
            strcpy(devices[i][slot].uuid, state.board[i].uuid);
        }
    }
    return leave(NVML_SUCCESS);
}

EXPORT int nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

EXPORT int nvmlShutdown(void)
{
    begin();
    prescribed(__func__, -1); /* it may hang, but a library that was initialised can always be left */
    REQUIRE(references > 0, NVML_ERROR_UNINITIALIZED);
    if (--references == 0 && device_fd >= 0) {
        close(device_fd);
        device_fd = -1;
    }
    return leave(NVML_SUCCESS);
}

EXPORT const char *nvmlErrorString(int code)
{
    return code == NVML_SUCCESS ? "Success" : "An error of the fake driver";
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    ENTER_LIBRARY();
    return leave(put_text(version, length, state.driver));
}

EXPORT int nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    ENTER_LIBRARY();
    return leave(put_text(version, length, state.nvml));
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count)
{
    ENTER_LIBRARY();
    *count = (unsigned)visible;
    return leave(NVML_SUCCESS);
}

/* Ends a search with a handle, unless the board itself does not answer. */
static int found(const char *call, const struct handle *handle, const struct handle **out)
{
    struct subject on;
    int code = handle ? find(call, handle, &on) : NVML_ERROR_NOT_FOUND;
    if (code == NVML_SUCCESS)
        *out = handle;
    return leave(code);
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, const struct handle **out)
{
    ENTER_LIBRARY();
    REQUIRE(index < (unsigned)visible, NVML_ERROR_INVALID_ARGUMENT);
    return found(__func__, &boards[index], out);
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, const struct handle **out)
{
    ENTER_LIBRARY();
    REQUIRE(uuid, NVML_ERROR_INVALID_ARGUMENT);
    for (int i = 0; i < visible; i++) {
        if (strcmp(boards[i].uuid, uuid) == 0)
            return found(__func__, &boards[i], out);
        int index = board_index(boards[i].uuid);
        for (int slot = 0; index >= 0 && slot < MAX_SLOTS; slot++) {
            const struct instance *instance = instance_in(&state.board[index], slot);
            if (instance && strcmp(instance->uuid, uuid) == 0)
                return found(__func__, &devices[i][slot], out);
        }
    }
    return leave(NVML_ERROR_NOT_FOUND);
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, const struct handle **out)
{
    unsigned domain, bus, device;
    ENTER_LIBRARY();
    REQUIRE(bus_id && sscanf(bus_id, "%x:%x:%x", &domain, &bus, &device) == 3, NVML_ERROR_INVALID_ARGUMENT);
    for (int i = 0; i < visible; i++) {
        int index = board_index(boards[i].uuid);
        const struct board *b = index < 0 ? NULL : &state.board[index];
        if (b && b->pci_domain == domain && b->pci_bus == bus && b->pci_device == device)
            return found(__func__, &boards[i], out);
    }
    return leave(NVML_ERROR_NOT_FOUND);
}
