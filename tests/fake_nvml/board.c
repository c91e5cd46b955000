/* What a board is and how it is set: inventory, limits, error counts by their own calls. */
#include "state.h"

struct violation { unsigned long long reference, time; };

#define VALUE(name, member) \
    int name(void *device, unsigned *to) { ENTER(name); *to = gpu->member; return OK; }
#define PAIR(name, first, second) \
    int name(void *device, unsigned *a, unsigned *b) { ENTER(name); *a = gpu->first; *b = gpu->second; return OK; }
#define TEXT(name, member) \
    int name(void *device, char *to, unsigned length) { \
        ENTER(name); return fake_copy_text(to, length, gpu->member); }

VALUE(nvmlDeviceGetPersistenceMode, persistence)
VALUE(nvmlDeviceGetPerformanceState, performance_state)
VALUE(nvmlDeviceGetArchitecture, architecture)
VALUE(nvmlDeviceGetNumGpuCores, cores)
VALUE(nvmlDeviceGetComputeMode, compute_mode)
VALUE(nvmlDeviceGetMemoryBusWidth, bus_width)
VALUE(nvmlDeviceGetMaxPcieLinkGeneration, pcie_generation_max)
PAIR(nvmlDeviceGetEccMode, ecc, ecc_pending)
PAIR(nvmlDeviceGetCudaComputeCapability, capability[0], capability[1])
PAIR(nvmlDeviceGetPowerManagementLimitConstraints, power_limit_range_mw[0], power_limit_range_mw[1])
TEXT(nvmlDeviceGetSerial, serial)
TEXT(nvmlDeviceGetVbiosVersion, vbios)
TEXT(nvmlDeviceGetBoardPartNumber, part)

int nvmlDeviceGetMinorNumber(void *device, unsigned *to) {
    ENTER(nvmlDeviceGetMinorNumber);
    *to = gpu - fake->gpus;
    return OK;
}

/* The counts below are those of the field values: two doors to one truth. */
static unsigned long long count(const struct gpu *gpu, uint32_t id) {
    const struct field *field = fake_field(gpu, id, 0);
    return field ? field->value.whole : 0;
}

int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *to) {
    ENTER(nvmlDeviceGetTotalEccErrors);
    if (!gpu->ecc)
        return NOT_SUPPORTED;
    if (kind < 0 || kind > 1 || counter)
        return INVALID_ARGUMENT;
    *to = count(gpu, 3 + kind);
    return OK;
}

int nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending,
                              unsigned *failed) {
    ENTER(nvmlDeviceGetRemappedRows);
    *corrected = count(gpu, 142);
    *uncorrected = count(gpu, 143);
    *pending = count(gpu, 144);
    *failed = count(gpu, 145);
    return OK;
}

int nvmlDeviceGetPcieReplayCounter(void *device, unsigned *to) {
    ENTER(nvmlDeviceGetPcieReplayCounter);
    *to = count(gpu, 94);
    return OK;
}

int nvmlDeviceGetViolationStatus(void *device, unsigned policy, struct violation *to) {
    ENTER(nvmlDeviceGetViolationStatus);
    if (policy > 1)
        return NOT_SUPPORTED;
    *to = (struct violation){1, count(gpu, 74 + policy)};
    return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, void *processes) {
    (void)processes;
    ENTER(nvmlDeviceGetGraphicsRunningProcesses_v3);
    *count = 0; /* these boards show no pictures */
    return OK;
}
