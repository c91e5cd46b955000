/* Multi-instance GPUs: the tree of instances below a GPU. */
#include "state.h"

struct attributes {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, slices, compute_slices;
    unsigned long long memory_mb;
};

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    ENTER(nvmlDeviceGetMigMode);
    *current = gpu->mig_mode;
    *pending = gpu->mig_pending;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
    ENTER(nvmlDeviceGetMaxMigDeviceCount);
    *count = gpu->mig_mode ? MAX_INSTANCES - 1 : 0;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **to) {
    ENTER(nvmlDeviceGetMigDeviceHandleByIndex);
    if (!gpu->mig_mode || index >= MAX_INSTANCES || !gpu->instances[index].present)
        return NOT_FOUND;
    *to = fake_part_handle(gpu - fake->gpus, index + 1);
    return OK;
}

int nvmlDeviceIsMigDeviceHandle(void *device, unsigned *is) {
    ENTER_PART(nvmlDeviceIsMigDeviceHandle);
    *is = part != 0;
    return OK;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **to) {
    ENTER_PART(nvmlDeviceGetDeviceHandleFromMigDeviceHandle);
    if (!part)
        return INVALID_ARGUMENT;
    *to = fake_handle(gpu - fake->gpus);
    return OK;
}

#define PART_VALUE(name, member) \
    int name(void *device, unsigned *to) { \
        ENTER_PART(name); if (!part) return NOT_SUPPORTED; *to = part->member; return OK; }

PART_VALUE(nvmlDeviceGetGpuInstanceId, gpu_instance)
PART_VALUE(nvmlDeviceGetComputeInstanceId, compute_instance)

int nvmlDeviceGetAttributes_v2(void *device, struct attributes *to) {
    ENTER_PART(nvmlDeviceGetAttributes_v2);
    if (!part)
        return NOT_SUPPORTED;
    *to = (struct attributes){.multiprocessors = 16 * part->slices, .slices = part->slices,
                              .compute_slices = part->compute_slices, .memory_mb = part->memory_total >> 20};
    return OK;
}
