/* GPU performance monitoring: two samples, and one call that tells what lies between them. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

struct support { unsigned version, supported; };
struct sample { uint64_t taken; struct metric metrics[MAX_METRICS]; };
struct value { unsigned id; int result; double value; const char *names[3]; };
struct request { unsigned version, count; struct sample *first, *second; struct value values[]; };

_Static_assert(sizeof(struct value) == 40, "nvmlGpmMetric_t");

int nvmlGpmQueryDeviceSupport(void *device, struct support *to) {
    ENTER(nvmlGpmQueryDeviceSupport);
    if (to->version != 1)
        return VERSION_MISMATCH;
    to->supported = gpu->gpm_supported;
    return OK;
}

int nvmlGpmSampleAlloc(struct sample **to) {
    ENTER_SYSTEM(nvmlGpmSampleAlloc);
    *to = calloc(1, sizeof **to);
    __atomic_fetch_add(&fake->samples, 1, __ATOMIC_RELAXED);
    return OK;
}

int nvmlGpmSampleFree(struct sample *sample) {
    ENTER_SYSTEM(nvmlGpmSampleFree);
    __atomic_fetch_sub(&fake->samples, 1, __ATOMIC_RELAXED);
    free(sample);
    return OK;
}

static int take(const struct gpu *gpu, struct sample *to, const struct metric *from) {
    static uint64_t clock;
    if (!gpu->gpm_supported)
        return NOT_SUPPORTED;
    to->taken = __atomic_add_fetch(&clock, 1, __ATOMIC_RELAXED);
    memcpy(to->metrics, from, sizeof to->metrics);
    return OK;
}

int nvmlGpmSampleGet(void *device, struct sample *to) {
    ENTER(nvmlGpmSampleGet);
    return take(gpu, to, gpu->metrics);
}

int nvmlGpmMigSampleGet(void *device, unsigned instance, struct sample *to) {
    ENTER(nvmlGpmMigSampleGet);
    for (const struct instance *at = gpu->instances; at < gpu->instances + MAX_INSTANCES; at++)
        if (gpu->mig_mode && at->present && at->gpu_instance == instance)
            return take(gpu, to, at->metrics);
    return NOT_FOUND;
}

int nvmlGpmMetricsGet(struct request *request) {
    ENTER_SYSTEM(nvmlGpmMetricsGet);
    if (request->version != 1)
        return VERSION_MISMATCH;
    if (!request->first || !request->second || !request->first->taken ||
        request->second->taken <= request->first->taken)
        return INVALID_ARGUMENT;
    for (struct value *to = request->values; to < request->values + request->count; to++) {
        to->result = NOT_SUPPORTED;
        for (const struct metric *at = request->second->metrics; at < request->second->metrics + MAX_METRICS; at++)
            if (at->id && at->id == to->id) {
                to->result = at->result;
                to->value = at->value;
            }
    }
    return OK;
}
