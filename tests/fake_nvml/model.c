/* What the boards do. Everything is a pure function of the state file and the instant asked for. */
#include "model.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Update periods and averaging windows: arXiv 2312.02741, decoded for drivers after 530. Blackwell is assumed
 * to be as Hopper; what follows like a capacitor is given a time constant of half a second. */
static const struct traits TRAITS[] = {
    {"kepler", NVML_DEVICE_ARCH_KEPLER, 100000, {SLOW, 0, SLOW}, false, false},
    {"maxwell", NVML_DEVICE_ARCH_MAXWELL, 100000, {SLOW, 0, SLOW}, false, false},
    {"pascal", NVML_DEVICE_ARCH_PASCAL, 20000, {10000, 0, 10000}, false, false},
    {"volta", NVML_DEVICE_ARCH_VOLTA, 20000, {10000, 0, 10000}, true, false},
    {"turing", NVML_DEVICE_ARCH_TURING, 100000, {100000, 0, 100000}, true, false},
    {"ga100", NVML_DEVICE_ARCH_AMPERE, 100000, {25000, 0, 25000}, true, false},
    {"ampere", NVML_DEVICE_ARCH_AMPERE, 100000, {1000000, 1000000, 100000}, true, false},
    {"ada", NVML_DEVICE_ARCH_ADA, 100000, {1000000, 1000000, 100000}, true, false},
    {"hopper", NVML_DEVICE_ARCH_HOPPER, 100000, {1000000, 1000000, 25000}, true, true},
    {"blackwell", NVML_DEVICE_ARCH_BLACKWELL, 100000, {1000000, 1000000, 25000}, true, true},
};

static const double CAPACITOR_US = 500000.0;

int64_t model_now_us(const struct state *s)
{
    int64_t now = s->clock_us;
    if (!s->fixed_clock) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    }
    return now < s->horizon_us ? now : s->horizon_us;
}

const struct traits *model_traits(const struct board *b)
{
    for (size_t i = 0; i < sizeof TRAITS / sizeof *TRAITS; i++)
        if (strcmp(TRAITS[i].name, b->architecture) == 0)
            return &TRAITS[i];
    return &TRAITS[0];
}

static int64_t start_us(const struct state *s, const struct board *b, int i)
{
    return i == 0 ? INT64_MIN : s->segment[b->segments.first + i].start_us;
}

static int64_t end_us(const struct state *s, const struct board *b, int i)
{
    return i + 1 == b->segments.count ? INT64_MAX : s->segment[b->segments.first + i + 1].start_us;
}

/* How long segment i lasts within from..to. The first has always been, the last never ends. */
static int64_t overlap_us(const struct state *s, const struct board *b, int i, int64_t from_us, int64_t to_us)
{
    int64_t start = start_us(s, b, i), end = end_us(s, b, i);
    int64_t first = start > from_us ? start : from_us;
    int64_t last = end < to_us ? end : to_us;
    return last > first ? last - first : 0;
}

static uint64_t integral_nj(const struct state *s, const struct board *b, int64_t from_us, int64_t to_us)
{
    uint64_t sum = 0;
    for (int i = 0; i < b->segments.count; i++) {
        uint64_t power_mw = (uint64_t)s->segment[b->segments.first + i].power_mw;
        sum += power_mw * (uint64_t)overlap_us(s, b, i, from_us, to_us); /* mW times us is nJ */
    }
    return sum;
}

static uint64_t scaled(uint64_t value, int64_t ppm)
{
    return value / 1000000 * (uint64_t)ppm + value % 1000000 * (uint64_t)ppm / 1000000;
}

static int64_t capacitor_mw(const struct state *s, const struct board *b, int64_t at_us)
{
    double power = 0;
    for (int i = 0; i < b->segments.count; i++) {
        int64_t start = start_us(s, b, i), end = end_us(s, b, i);
        if (start >= at_us)
            break;
        double left = end < at_us ? exp((double)(end - at_us) / CAPACITOR_US) : 1.0;
        double right = i ? exp((double)(start - at_us) / CAPACITOR_US) : 0.0;
        power += (double)s->segment[b->segments.first + i].power_mw * (left - right);
    }
    return llround(power);
}

bool model_power(const struct state *s, const struct board *b, enum power_kind kind, int64_t at_us,
                 int64_t *updated_us, int64_t *power_mw)
{
    const struct traits *traits = model_traits(b);
    int64_t window_us = traits->window_us[kind], mean_mw;
    if (window_us == 0)
        return false;
    *updated_us = at_us / traits->period_us * traits->period_us;
    if (window_us == SLOW)
        mean_mw = capacitor_mw(s, b, *updated_us);
    else
        mean_mw = (int64_t)(integral_nj(s, b, *updated_us - window_us, *updated_us) / (uint64_t)window_us);
    *power_mw = (int64_t)scaled((uint64_t)mean_mw, b->power_gain_ppm);
    return true;
}

uint64_t model_energy_mj(const struct state *s, const struct board *b)
{
    int64_t until_us = model_now_us(s) / b->energy_step_us * b->energy_step_us;
    uint64_t since_nj = until_us > b->epoch_us ? integral_nj(s, b, b->epoch_us, until_us) : 0;
    return (b->epoch_nj + scaled(since_nj, b->energy_gain_ppm)) / 1000000;
}

/* Busy time of one engine in segment i times 10000. */
static uint64_t engine_load(const struct state *s, const struct segment *g, int engine)
{
    uint64_t load = 0;
    for (int u = 0; u < g->uses.count; u++)
        load += s->use[g->uses.first + u].share[engine];
    return load;
}

static uint64_t engine_time(const struct state *s, const struct board *b, int engine, int64_t from_us,
                            int64_t to_us)
{
    uint64_t sum = 0;
    for (int i = 0; i < b->segments.count; i++) {
        uint64_t lasting = (uint64_t)overlap_us(s, b, i, from_us, to_us);
        if (lasting)
            sum += lasting * engine_load(s, &s->segment[b->segments.first + i], engine);
    }
    return sum;
}

unsigned model_busy(const struct state *s, const struct board *b, int engine, int64_t from_us, int64_t to_us)
{
    uint64_t mean = engine_time(s, b, engine, from_us, to_us) / (uint64_t)(to_us - from_us);
    return mean > 10000 ? 10000 : (unsigned)mean;
}

double model_activity(const struct state *s, const struct board *b, unsigned gi, int metric, int64_t from_us,
                      int64_t to_us)
{
    double sum = 0;
    for (int i = 0; i < b->segments.count; i++) {
        double lasting = (double)overlap_us(s, b, i, from_us, to_us);
        const struct range *range = &s->segment[b->segments.first + i].activities;
        for (int a = 0; lasting > 0 && a < range->count; a++)
            if (s->activity[range->first + a].gi == gi)
                sum += lasting * s->activity[range->first + a].metric[metric];
    }
    return sum / (double)(to_us - from_us) / 100.0;
}

/* A number in 0..2^32-1 for a slot: where in the scheduler's round its sample fell. */
static uint32_t phase(const struct state *s, const struct board *b, uint64_t slot)
{
    uint64_t salt = 1469598103934665603u;
    for (const char *c = b->uuid; *c; c++)
        salt = (salt ^ (unsigned char)*c) * 1099511628211u;
    if (!s->random_sampling) /* a round that never falls into step with the sampler: the golden section */
        return (uint32_t)((slot * 11400714819323198485u + salt) >> 32);
    uint64_t z = slot * 11400714819323198485u + salt; /* splitmix64 */
    z = (z ^ (z >> 30)) * 13787848793156543929u;
    z = (z ^ (z >> 27)) * 10723151780598845931u;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

/* The one process that the sample of a slot found on an engine, or NULL. */
static const struct use *sampled(const struct state *s, const struct board *b, int engine, int64_t slot,
                                 uint64_t total)
{
    int64_t from_us = slot * SLOT_US, to_us = from_us + SLOT_US;
    uint64_t point = (uint64_t)((double)total * phase(s, b, (uint64_t)slot) / 4294967296.0);
    for (int i = 0; i < b->segments.count; i++) {
        uint64_t lasting = (uint64_t)overlap_us(s, b, i, from_us, to_us);
        const struct range *range = &s->segment[b->segments.first + i].uses;
        for (int u = 0; lasting && u < range->count; u++) {
            uint64_t load = lasting * s->use[range->first + u].share[engine];
            if (point < load)
                return &s->use[range->first + u];
            point -= load;
        }
    }
    return NULL;
}

int model_seen(const struct state *s, const struct board *b, int64_t since_us, struct seen *out, int room)
{
    int64_t newest = model_now_us(s) / SLOT_US - 1; /* the newest slot that is complete */
    int64_t oldest = newest - RING_SLOTS + 1;
    if (since_us >= oldest * SLOT_US)
        oldest = since_us / SLOT_US; /* the first slot whose end is later */
    int count = 0;
    for (int64_t slot = oldest; slot <= newest; slot++) {
        for (int engine = 0; engine < ENGINES; engine++) {
            uint64_t total = engine_time(s, b, engine, slot * SLOT_US, (slot + 1) * SLOT_US);
            const struct use *use = total ? sampled(s, b, engine, slot, total) : NULL;
            if (!use)
                continue;
            int i = 0;
            while (i < count && out[i].pid != use->pid)
                i++;
            if (i == room)
                continue;
            if (i == count)
                out[count++] = (struct seen){.pid = use->pid};
            uint64_t busy = total / SLOT_US;
            out[i].share[engine] += busy > 10000 ? 10000u : (unsigned)busy;
            out[i].last_us = (slot + 1) * SLOT_US;
        }
    }
    for (int i = 0; i < count; i++)
        for (int engine = 0; engine < ENGINES; engine++)
            out[i].share[engine] /= (unsigned)(newest - oldest + 1);
    return count;
}
