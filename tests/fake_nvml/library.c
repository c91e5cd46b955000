/* Loading, unloading, enumeration, and what every call does first. */
#include "state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct state *fake;
static int32_t in_use; /* references held by inits of this process */
static uint32_t epoch; /* the init that handles are of */

uint32_t fake_state_size(void) { return sizeof(struct state); }

/* As if the library had just been loaded: the next test's first init maps the next test's file. */
void fake_unload(void) { in_use = 0; }

/* Map the file that FAKE_NVML_STATE names now: a new test brings a new file. */
static int map_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return DRIVER_NOT_LOADED;
    void *at = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at == MAP_FAILED)
        return DRIVER_NOT_LOADED;
    fake = at; /* the old mapping stays: a wedged call may still look at it */
    return fake->size == sizeof(struct state) ? OK : VERSION_MISMATCH;
}

static int behave(struct knob *knob) {
    volatile int32_t *wedged = &knob->wedged;
    __atomic_fetch_add(&knob->calls, 1, __ATOMIC_RELAXED);
    if (knob->latency_us)
        usleep(knob->latency_us);
    while (*wedged)
        usleep(1000);
    return knob->result;
}

int fake_enter_system(enum function function) {
    if (!fake || !in_use)
        return UNINITIALIZED;
    return behave(&fake->system[function]);
}

/* A handle carries the init it was made by, so that one kept across a shutdown is noticed, and the
 * place of a MIG instance (from 1; 0 = the whole GPU). */
void *fake_part_handle(uint32_t gpu, uint32_t place) {
    return (void *)(uintptr_t)(((uint64_t)epoch << 16) | (place << 8) | (gpu + 1));
}

void *fake_handle(uint32_t gpu) { return fake_part_handle(gpu, 0); }

uint32_t fake_epoch(void) { return epoch; }

int fake_enter_part(void *handle, enum function function, struct gpu **gpu, struct instance **part) {
    if (!fake || !in_use)
        return UNINITIALIZED;
    uint64_t bits = (uintptr_t)handle;
    uint32_t index = (bits & 0xff) - 1, place = bits >> 8 & 0xff;
    if (index >= fake->gpu_count || bits >> 16 != epoch || place > MAX_INSTANCES)
        return INVALID_ARGUMENT;
    *gpu = &fake->gpus[index];
    int result = behave(&(*gpu)->knobs[function]);
    if ((*gpu)->lost || epoch <= (*gpu)->dead_epoch)
        return GPU_IS_LOST;
    *part = place ? &(*gpu)->instances[place - 1] : NULL;
    if (*part && (!(*part)->present || !(*gpu)->mig_mode))
        return INVALID_ARGUMENT; /* the handle outlived its instance */
    return result;
}

int fake_enter(void *handle, enum function function, struct gpu **gpu) {
    struct instance *part = NULL;
    int result = fake_enter_part(handle, function, gpu, &part);
    return result ? result : part ? NOT_SUPPORTED : OK;
}

int fake_copy_text(char *to, unsigned length, const char *text) {
    if (strlen(text) >= length)
        return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int result = in_use ? OK : map_state();
    if (!result)
        result = behave(&fake->system[F_nvmlInitWithFlags]);
    if (result)
        return result;
    if (!in_use++)
        epoch = ++fake->epoch;
    return OK;
}

int nvmlShutdown(void) {
    ENTER_SYSTEM(nvmlShutdown);
    in_use--;
    return OK;
}

int nvmlSystemGetDriverVersion(char *to, unsigned length) {
    ENTER_SYSTEM(nvmlSystemGetDriverVersion);
    return fake_copy_text(to, length, fake->driver_version);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    ENTER_SYSTEM(nvmlDeviceGetCount_v2);
    *count = 0;
    for (uint32_t i = 0; i < fake->gpu_count; i++)
        *count += !fake->gpus[i].absent;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    ENTER_SYSTEM(nvmlDeviceGetHandleByIndex_v2);
    for (uint32_t i = 0; i < fake->gpu_count; i++) {
        if (fake->gpus[i].absent || index--)
            continue;
        *device = fake_handle(i);
        return fake->gpus[i].lost ? GPU_IS_LOST : OK;
    }
    return INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    ENTER_SYSTEM(nvmlDeviceGetHandleByUUID);
    for (uint32_t i = 0; i < fake->gpu_count; i++) {
        if (fake->gpus[i].absent || strcmp(uuid, fake->gpus[i].uuid))
            continue;
        *device = fake_handle(i);
        return fake->gpus[i].lost ? GPU_IS_LOST : OK;
    }
    return NOT_FOUND;
}

int nvmlDeviceGetIndex(void *device, unsigned *index) {
    ENTER(nvmlDeviceGetIndex);
    *index = gpu - fake->gpus;
    return OK;
}

int nvmlSystemGetNVMLVersion(char *to, unsigned length) {
    ENTER_SYSTEM(nvmlSystemGetNVMLVersion);
    return fake_copy_text(to, length, fake->library_version);
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    ENTER_SYSTEM(nvmlSystemGetCudaDriverVersion_v2);
    *version = fake->cuda_version;
    return OK;
}
