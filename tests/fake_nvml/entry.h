/* How every call begins and ends: the lock, the state, the device, the errors prescribed for it. */
#ifndef FAKE_NVML_ENTRY_H
#define FAKE_NVML_ENTRY_H

#include <stdint.h>

#include "nvml_abi.h"
#include "state.h"

#define EXPORT __attribute__((visibility("default")))
#define STATE_VARIABLE "FAKE_NVML_STATE"

/* What the caller holds as nvmlDevice_t. It names a place: after a change another device may sit there. */
struct handle {
    char uuid[TEXT]; /* of the board */
    int slot;        /* of the MIG device, or -1 */
};

struct subject {
    const struct board *board;
    const struct instance *instance; /* NULL: the board itself */
};

/* To be used between enter and leave alone. */
extern struct state state;
extern int references, visible;
extern struct handle boards[MAX_BOARDS];
extern struct handle devices[MAX_BOARDS][MAX_SLOTS];

/* Begins a call: takes the lock, reads the state, gives the device. On an error the lock is free again. */
int enter(const char *call, const struct handle *handle, struct subject *subject);
/* The same for the first call of all. */
int enter_uninitialised(const char *call);
/* The same for a call that no prescribed error reaches. */
void begin(void);
/* Ends a call. */
int leave(int code);
/* The answer that the state file prescribes for a call on a board (-1: on the library). */
int prescribed(const char *call, int board);
/* The device behind a handle, if it answers this call. */
int find(const char *call, const struct handle *handle, struct subject *subject);
int board_index(const char *uuid);
const struct instance *instance_in(const struct board *board, int slot);
int put_text(char *out, unsigned length, const char *text);
uint64_t unix_us(int64_t monotonic_us);
int64_t monotonic_us(uint64_t unix_timestamp_us);
/* Whether contexts of this process are to be shown. */
bool alive(unsigned pid);

#define ENTER_LIBRARY()                             \
    do {                                            \
        int code_ = enter(__func__, NULL, NULL);    \
        if (code_ != NVML_SUCCESS)                  \
            return code_;                           \
    } while (0)

#define ENTER(handle)                               \
    struct subject on = {0};                        \
    do {                                            \
        int code_ = enter(__func__, handle, &on);   \
        if (code_ != NVML_SUCCESS)                  \
            return code_;                           \
    } while (0)

#define ENTER_BOARD(handle) /* what exists for whole boards alone */ \
    ENTER(handle);                                  \
    if (on.instance)                                \
        return leave(NVML_ERROR_NOT_SUPPORTED)

#define REQUIRE(condition, code)                    \
    do {                                            \
        if (!(condition))                           \
            return leave(code);                     \
    } while (0)

#define UNSIGNED_GETTER(call, expression)                        \
    EXPORT int call(const struct handle *handle, unsigned *out)  \
    {                                                            \
        ENTER_BOARD(handle);                                     \
        *out = (unsigned)(expression);                           \
        return leave(NVML_SUCCESS);                              \
    }

#endif
