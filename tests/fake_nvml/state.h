/* The state that a test and the fake driver share through one mapped file.
 *
 * Written by the test, read by every call. `driver.py` mirrors it field by field; the sizes are
 * compared when the library is loaded, so a change on one side alone cannot go unseen. */
#ifndef FAKE_NVML_STATE_H
#define FAKE_NVML_STATE_H

#include <stdint.h>

#define MAX_GPUS 16
#define MAX_FIELDS 64
#define MAX_METRICS 32
#define MAX_INSTANCES 8
#define NAME_LENGTH 96
#define MAX_EVENTS 1024
#define MAX_PROCESSES 16

enum function {
#define FN(name) F_##name,
#include "functions.def"
#undef FN
    FUNCTIONS
};

/* One call of one GPU (or of the system): what it answers and how it behaves. */
struct knob {
    uint64_t calls;
    uint32_t latency_us;
    int32_t result; /* not 0 = answered instead of a value */
    int32_t wedged; /* the call does not return while this is set */
    int32_t unused;
};

/* A value of nvmlDeviceGetFieldValues. */
struct field {
    uint32_t id;
    uint32_t scope;
    int32_t result;
    uint32_t kind; /* NVML_VALUE_TYPE_* */
    union {
        double real;
        uint64_t whole;
        int64_t sign;
    } value;
};

/* A value of nvmlGpmMetricsGet. */
struct metric {
    uint32_t id;
    int32_t result;
    double value;
};

/* Something that happened to a GPU: what nvmlEventSetWait tells. */
struct event {
    uint32_t gpu;
    uint32_t unused;
    uint64_t type; /* nvmlEventType* */
    uint64_t data; /* the Xid */
};

/* A MIG instance; `present` 0 = its place is free. */
struct instance {
    char name[NAME_LENGTH];
    char uuid[NAME_LENGTH];
    uint32_t present, gpu_instance, compute_instance, slices, compute_slices, unused;
    uint64_t memory_total, memory_reserved, memory_free, memory_used;
    struct metric metrics[MAX_METRICS];
};

struct gpu {
    char name[NAME_LENGTH];
    char uuid[NAME_LENGTH];
    char bus_id[32];
    int32_t lost;        /* calls answer GPU_IS_LOST */
    int32_t absent;      /* not enumerated by an init */
    uint32_t dead_epoch; /* handles of this init and earlier ones stay lost */
    int32_t gpm_supported;
    uint32_t busy_percent, memory_busy_percent, encoder_percent, decoder_percent;
    uint64_t memory_total, memory_reserved, memory_free, memory_used;
    uint32_t power_mw, power_limit_mw;
    uint64_t energy_mj;
    uint32_t clock_mhz[4], clock_max_mhz[4];
    int32_t temperature, pcie_generation;
    uint64_t event_reasons;
    uint32_t pcie_width, pcie_width_max;
    char serial[32], vbios[32], part[80];
    uint32_t mig_mode, mig_pending, persistence, ecc, ecc_pending, performance_state;
    uint32_t architecture, capability[2], cores, compute_mode, bus_width, pcie_generation_max;
    uint32_t power_limit_range_mw[2];
    uint32_t unused_board; /* keeps the instances on a whole word */
    struct instance instances[MAX_INSTANCES];
    struct field fields[MAX_FIELDS];
    struct metric metrics[MAX_METRICS];
    struct knob knobs[FUNCTIONS];
    uint64_t event_types, registered; /* what it can tell; what was asked for */
    uint32_t process_count;
    uint32_t processes[MAX_PROCESSES]; /* pids */
    uint32_t unused;
};

struct state {
    uint32_t size; /* of this struct, written by the test */
    uint32_t gpu_count;
    uint32_t epoch;  /* how many inits there were */
    uint32_t unused;
    int64_t samples; /* GPM samples allocated and not freed */
    char driver_version[80], library_version[80];
    uint32_t cuda_version, unused_version;
    struct knob system[FUNCTIONS];
    struct gpu gpus[MAX_GPUS];
    uint64_t events_made, events_told; /* counters: a ring */
    struct event events[MAX_EVENTS];
};

/* The return codes used here. */
enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15, VERSION_MISMATCH = 25
};

extern struct state *fake;

/* Count, wait and judge one call; not OK = answer it. */
int fake_enter_system(enum function function);
int fake_enter(void *handle, enum function function, struct gpu **gpu);
void *fake_handle(uint32_t gpu); /* as this init gives it out */
uint32_t fake_epoch(void);       /* which init this is */
int fake_enter_part(void *handle, enum function function, struct gpu **gpu, struct instance **part);
void *fake_part_handle(uint32_t gpu, uint32_t place); /* of a MIG instance, places from 1 */
const struct field *fake_field(const struct gpu *gpu, uint32_t id, uint32_t scope);
int fake_copy_text(char *to, unsigned length, const char *text);

#define ENTER_SYSTEM(name) do { int r = fake_enter_system(F_##name); if (r) return r; } while (0)
#define ENTER(name) struct gpu *gpu; \
    do { int r = fake_enter(device, F_##name, &gpu); if (r) return r; } while (0)

/* A call that takes a MIG instance as well: `part` is NULL for a whole GPU. */
#define ENTER_PART(name) struct gpu *gpu; struct instance *part; \
    do { int r = fake_enter_part(device, F_##name, &gpu, &part); if (r) return r; } while (0)

#endif
