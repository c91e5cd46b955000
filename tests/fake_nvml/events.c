/* What happens to a GPU, told once each, and which processes it runs. */
#include "state.h"

#include <stddef.h>
#include <unistd.h>

struct event_data {
    void *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};
struct process { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };

_Static_assert(sizeof(struct event_data) == 32, "nvmlEventData_t");
_Static_assert(sizeof(struct process) == 24, "nvmlProcessInfo_t");

int nvmlEventSetCreate(void **set) {
    ENTER_SYSTEM(nvmlEventSetCreate);
    for (struct gpu *gpu = fake->gpus; gpu < fake->gpus + MAX_GPUS; gpu++)
        gpu->registered = 0;
    fake->events_told = fake->events_made; /* the past is not replayed */
    *set = (void *)(uintptr_t)fake_epoch();
    return OK;
}

int nvmlEventSetFree(void *set) {
    (void)set;
    ENTER_SYSTEM(nvmlEventSetFree);
    return OK;
}

int nvmlDeviceGetSupportedEventTypes(void *device, unsigned long long *types) {
    ENTER(nvmlDeviceGetSupportedEventTypes);
    *types = gpu->event_types;
    return OK;
}

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
    (void)set;
    ENTER(nvmlDeviceRegisterEvents);
    if (types & ~gpu->event_types)
        return NOT_SUPPORTED;
    gpu->registered |= types;
    return OK;
}

int nvmlEventSetWait_v2(void *set, struct event_data *to, unsigned timeout_ms) {
    ENTER_SYSTEM(nvmlEventSetWait_v2);
    if ((uintptr_t)set != fake_epoch())
        return INVALID_ARGUMENT;
    for (;; usleep(1000)) {
        while (fake->events_told < fake->events_made) {
            const struct event *event = &fake->events[fake->events_told++ % MAX_EVENTS];
            if (!(fake->gpus[event->gpu].registered & event->type))
                continue;
            *to = (struct event_data){fake_handle(event->gpu), event->type, event->data, ~0u, ~0u};
            return OK;
        }
        if (!timeout_ms--)
            return TIMEOUT;
    }
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *processes) {
    ENTER(nvmlDeviceGetComputeRunningProcesses_v3);
    unsigned room = *count;
    *count = gpu->process_count;
    if (room < gpu->process_count)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < gpu->process_count; i++)
        processes[i] = (struct process){gpu->processes[i], 1ull << 30, ~0u, ~0u};
    return OK;
}
