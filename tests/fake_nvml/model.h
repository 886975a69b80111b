/* What the boards do: power, energy, and which process is seen on the engines. */
#ifndef FAKE_NVML_MODEL_H
#define FAKE_NVML_MODEL_H

#include "nvml_abi.h"
#include "state.h"

enum power_kind { POWER_DEFAULT, POWER_AVERAGE, POWER_INSTANT };

struct seen { /* one process over a window of the ring, in 1/100 % */
    unsigned pid;
    int64_t last_us;
    unsigned share[ENGINES];
};

struct traits { /* of an architecture */
    const char *name;
    unsigned code;
    int64_t period_us;
    int64_t window_us[3]; /* by power_kind; 0: not supported, SLOW: follows like a capacitor */
    bool energy, gpm;
};

#define SLOW (-1)
#define RING_SLOTS 72
#define SLOT_US 138889

/* The newest instant of which anything is known. */
int64_t model_now_us(const struct state *s);
const struct traits *model_traits(const struct board *b);
/* The instant of the newest update, and the power in milliwatts shown since. False: not supported. */
bool model_power(const struct state *s, const struct board *b, enum power_kind kind, int64_t at_us,
                 int64_t *updated_us, int64_t *power_mw);
uint64_t model_energy_mj(const struct state *s, const struct board *b);
/* Mean share of the whole board on one engine from..to, in 1/100 %. */
unsigned model_busy(const struct state *s, const struct board *b, int engine, int64_t from_us, int64_t to_us);
/* Mean activity of a GPU instance (or of the board: NVML_NO_INSTANCE) from..to, in percent. */
double model_activity(const struct state *s, const struct board *b, unsigned gi, int metric, int64_t from_us,
                      int64_t to_us);
/* Processes seen in complete slots that ended after since_us, at most `room`. */
int model_seen(const struct state *s, const struct board *b, int64_t since_us, struct seen *out, int room);

#endif
