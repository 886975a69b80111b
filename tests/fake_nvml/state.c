/* Reads the state file. */
#include "state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LENGTH(array) ((int)(sizeof(array) / sizeof(*(array))))
#define IS(word) (strcmp(key, word) == 0)

#define ROOM(pool, used) ((used) < LENGTH(pool))

/* The next free record of a pool, counted into the range of its owner. */
#define TAKE(pool, used, range) (&(pool)[take(&(used), &(range))])

static int take(int *used, struct range *range)
{
    if (range->count++ == 0)
        range->first = *used;
    return (*used)++;
}

static bool read_fault(struct state *s, const char *key, const char *rest)
{
    if (!ROOM(s->fault, s->faults))
        return false;
    struct fault *fault = &s->fault[s->faults++];
    *fault = (struct fault){.board = s->boards - 1};
    if (IS("answer"))
        return sscanf(rest, "%95s %d", fault->call, &fault->code) == 2;
    return sscanf(rest, "%95s %" SCNd64, fault->call, &fault->delay_us) == 2;
}

static bool read_library_line(struct state *s, const char *key, const char *rest)
{
    if (IS("fake-nvml"))
        return strcmp(rest, "1") == 0;
    if (IS("driver"))
        return sscanf(rest, "%95s", s->driver) == 1;
    if (IS("nvml"))
        return sscanf(rest, "%95s", s->nvml) == 1;
    if (IS("fixed_clock_us"))
        return s->fixed_clock = true, sscanf(rest, "%" SCNd64, &s->clock_us) == 1;
    if (IS("horizon_us"))
        return sscanf(rest, "%" SCNd64, &s->horizon_us) == 1;
    if (IS("wall_offset_us"))
        return sscanf(rest, "%" SCNd64, &s->wall_offset_us) == 1;
    if (IS("device_file"))
        return sscanf(rest, "%255[^\n]", s->device_file) == 1;
    if (IS("log"))
        return sscanf(rest, "%255[^\n]", s->log) == 1;
    if (IS("sampling"))
        return s->random_sampling = strcmp(rest, "random") == 0, true;
    if (IS("check_pids"))
        return s->check_pids = strcmp(rest, "1") == 0, true;
    return false;
}

static bool read_board_line(struct board *b, const char *key, const char *rest)
{
    if (IS("name"))
        return sscanf(rest, "%95[^\n]", b->name) == 1;
    if (IS("architecture"))
        return sscanf(rest, "%95s", b->architecture) == 1;
    if (IS("pci"))
        return sscanf(rest, "%x:%x:%x.%x %x", &b->pci_domain, &b->pci_bus, &b->pci_device, &b->pci_function,
                      &b->pci_id) == 5;
    if (IS("minor"))
        return sscanf(rest, "%u", &b->minor) == 1;
    if (IS("multiprocessors"))
        return sscanf(rest, "%u", &b->multiprocessors) == 1;
    if (IS("persistence"))
        return sscanf(rest, "%u", &b->persistence) == 1;
    if (IS("memory_bytes"))
        return sscanf(rest, "%" SCNu64 " %" SCNu64, &b->memory_bytes, &b->reserved_bytes) == 2;
    if (IS("power_limit_mw"))
        return sscanf(rest, "%" SCNd64, &b->power_limit_mw) == 1;
    if (IS("module_mw"))
        return sscanf(rest, "%" SCNd64, &b->module_mw) == 1;
    if (IS("memory_mw"))
        return sscanf(rest, "%" SCNd64, &b->memory_mw) == 1;
    if (IS("power_gain_ppm"))
        return sscanf(rest, "%" SCNd64, &b->power_gain_ppm) == 1;
    if (IS("energy_gain_ppm"))
        return sscanf(rest, "%" SCNd64, &b->energy_gain_ppm) == 1;
    if (IS("energy_step_us"))
        return sscanf(rest, "%" SCNd64, &b->energy_step_us) == 1 && b->energy_step_us > 0;
    if (IS("epoch"))
        return sscanf(rest, "%" SCNd64 " %" SCNu64, &b->epoch_us, &b->epoch_nj) == 2;
    if (IS("mig"))
        return b->mig_capable = true,
               sscanf(rest, "%u %u %u", &b->mig_current, &b->mig_pending, &b->mig_max) == 3;
    if (IS("accounting"))
        return sscanf(rest, "%u", &b->accounting) == 1;
    if (IS("garbage"))
        return sscanf(rest, "%u", &b->garbage) == 1;
    return false;
}

static bool read_record(struct state *s, struct board *b, const char *key, const char *rest)
{
    if (IS("segment") && ROOM(s->segment, s->segments)) {
        struct segment *g = TAKE(s->segment, s->segments, b->segments);
        *g = (struct segment){0};
        return sscanf(rest, "%" SCNd64 " %" SCNd64, &g->start_us, &g->power_mw) == 2;
    }
    if (IS("use") && ROOM(s->use, s->uses) && b->segments.count) {
        struct use *u = TAKE(s->use, s->uses, s->segment[s->segments - 1].uses);
        return sscanf(rest, "%u %u %u %u %u", &u->pid, &u->share[0], &u->share[1], &u->share[2],
                      &u->share[3]) == 5;
    }
    if (IS("active") && ROOM(s->activity, s->activities) && b->segments.count) {
        struct activity *a = TAKE(s->activity, s->activities, s->segment[s->segments - 1].activities);
        return sscanf(rest, "%u %u %u %u %u %u", &a->gi, &a->metric[0], &a->metric[1], &a->metric[2],
                      &a->metric[3], &a->metric[4]) == 6;
    }
    if (IS("context") && ROOM(s->context, s->contexts)) {
        struct context *c = TAKE(s->context, s->contexts, b->contexts);
        return sscanf(rest, "%c %u %" SCNu64 " %u %u", &c->kind, &c->pid, &c->bytes, &c->gi, &c->ci) == 5;
    }
    if (IS("instance") && ROOM(s->instance, s->instances)) {
        struct instance *i = TAKE(s->instance, s->instances, b->instances);
        return sscanf(rest, "%d %95s %u %u %u %u %u %" SCNu64 " %95[^\n]", &i->slot, i->uuid, &i->gi, &i->ci,
                      &i->multiprocessors, &i->gpu_slices, &i->compute_slices, &i->memory_mb, i->name) == 9 &&
               i->slot >= 0 && i->slot < MAX_SLOTS;
    }
    if (IS("account") && ROOM(s->account, s->accounts)) {
        struct account *a = TAKE(s->account, s->accounts, b->accounts);
        return sscanf(rest, "%u %u %u %" SCNu64 " %" SCNu64 " %" SCNu64 " %u", &a->pid, &a->sm, &a->memory,
                      &a->max_bytes, &a->time_ms, &a->start_us, &a->running) == 7;
    }
    return false;
}

static bool read_line(struct state *s, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = '\0';
    const char *key = line;
    if (IS("answer") || IS("delay"))
        return read_fault(s, key, rest);
    if (IS("board")) {
        if (s->boards == MAX_BOARDS)
            return false;
        struct board *b = &s->board[s->boards++];
        *b = (struct board){.power_gain_ppm = 1000000, .energy_gain_ppm = 1000000, .energy_step_us = 100000};
        return sscanf(rest, "%95s", b->uuid) == 1;
    }
    if (s->boards == 0)
        return read_library_line(s, key, rest);
    struct board *b = &s->board[s->boards - 1];
    return read_board_line(b, key, rest) || read_record(s, b, key, rest);
}

static bool read_all(struct state *s, FILE *file)
{
    s->driver[0] = s->nvml[0] = s->device_file[0] = s->log[0] = '\0';
    s->fixed_clock = s->random_sampling = s->check_pids = false;
    s->clock_us = s->wall_offset_us = 0;
    s->horizon_us = INT64_MAX;
    s->boards = s->segments = s->uses = s->activities = 0;
    s->contexts = s->instances = s->accounts = s->faults = 0;
    char line[512], shown[512];
    for (int number = 1; fgets(line, sizeof line, file); number++) {
        memcpy(shown, line, sizeof shown);
        if (!read_line(s, line)) {
            fprintf(stderr, "fake nvml: line %d of the state file makes no sense: %s", number, shown);
            return false;
        }
    }
    for (int i = 0; i < s->boards; i++) {
        if (s->board[i].segments.count == 0) {
            fprintf(stderr, "fake nvml: board %s has no segment\n", s->board[i].uuid);
            return false;
        }
    }
    return true;
}

bool state_refresh(struct state *state, const char *path, bool *broken)
{
    static struct stat seen;
    static bool sound;
    struct stat now;
    if (!path || stat(path, &now) != 0)
        return false;
    if (now.st_ino != seen.st_ino || now.st_dev != seen.st_dev || now.st_size != seen.st_size ||
        now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
        FILE *file = fopen(path, "re");
        if (!file)
            return false;
        fstat(fileno(file), &seen);
        sound = read_all(state, file);
        fclose(file);
    }
    *broken = !sound;
    return true;
}
