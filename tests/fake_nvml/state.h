/* The state file as records in memory; README.md documents it. Times are CLOCK_MONOTONIC microseconds. */
#ifndef FAKE_NVML_STATE_H
#define FAKE_NVML_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_BOARDS 32
#define MAX_SLOTS 16 /* MIG devices of one board */
#define TEXT 96
#define FOR_EVER (-1)
#define ENGINES 4 /* SM, memory, encoder, decoder */
#define METRICS 5 /* GPM 1, 2, 3, 5 and 10 */

struct range {
    int first, count;
};

struct use { /* of a process; shares of the board in 1/100 % */
    unsigned pid;
    unsigned share[ENGINES];
};

struct activity { /* of a GPU instance, or of the whole board; shares of the instance in 1/100 % */
    unsigned gi;
    unsigned metric[METRICS];
};

struct segment { /* holds until the next one starts */
    int64_t start_us;
    int64_t power_mw;
    struct range uses, activities;
};

struct context {
    char kind; /* c(ompute), g(raphics), m(ps) */
    unsigned pid;
    uint64_t bytes;
    unsigned gi, ci;
};

struct instance {
    int slot;
    char uuid[TEXT], name[TEXT];
    unsigned gi, ci, multiprocessors, gpu_slices, compute_slices;
    uint64_t memory_mb;
};

struct account {
    unsigned pid, sm, memory;
    uint64_t max_bytes, time_ms, start_us;
    unsigned running;
};

struct fault {
    int board; /* -1: of the whole library */
    char call[TEXT];
    int code;
    int64_t delay_us;
};

struct board {
    char uuid[TEXT], name[TEXT], architecture[TEXT];
    unsigned pci_domain, pci_bus, pci_device, pci_function, pci_id;
    unsigned minor, multiprocessors, persistence, accounting, garbage;
    bool mig_capable;
    unsigned mig_current, mig_pending, mig_max;
    uint64_t memory_bytes, reserved_bytes;
    int64_t power_limit_mw, module_mw, memory_mw;
    int64_t power_gain_ppm, energy_gain_ppm, energy_step_us;
    int64_t epoch_us;
    uint64_t epoch_nj;
    struct range segments, contexts, instances, accounts;
};

struct state {
    char driver[TEXT], nvml[TEXT], device_file[256], log[256];
    bool fixed_clock, random_sampling, check_pids;
    int64_t clock_us, horizon_us, wall_offset_us;
    int boards, segments, uses, activities, contexts, instances, accounts, faults;
    struct board board[MAX_BOARDS];
    struct segment segment[16384];
    struct use use[131072];
    struct activity activity[65536];
    struct context context[4096];
    struct instance instance[MAX_BOARDS * MAX_SLOTS];
    struct account account[8192];
    struct fault fault[256];
};

/* Reads the file anew where it changed. False: it cannot be read (no driver). *broken: it makes no sense. */
bool state_refresh(struct state *state, const char *path, bool *broken);

#endif
