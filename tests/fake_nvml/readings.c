/* One call, one value: what the driver says of a GPU. */
#include "state.h"

#include <stddef.h>
#include <string.h>

struct utilization { unsigned gpu, memory; };
struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
struct temperature { unsigned version, sensor; int celsius; };
struct field_value {
    uint32_t id, scope;
    int64_t at_us, latency_us;
    uint32_t kind;
    int32_t result;
    union { double real; unsigned long long whole; long long sign; } value;
};

_Static_assert(sizeof(struct memory_v2) == 40, "nvmlMemory_v2_t");
_Static_assert(sizeof(struct pci) == 68, "nvmlPciInfo_t");
_Static_assert(sizeof(struct field_value) == 40, "nvmlFieldValue_t");

/* A call whose whole body is copying one member of the state. */
#define VALUE(name, type, member) \
    int name(void *device, type *to) { ENTER(name); *to = gpu->member; return OK; }

VALUE(nvmlDeviceGetPowerUsage, unsigned, power_mw)
VALUE(nvmlDeviceGetEnforcedPowerLimit, unsigned, power_limit_mw)
VALUE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, energy_mj)
VALUE(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, event_reasons)
VALUE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, pcie_generation)
VALUE(nvmlDeviceGetCurrPcieLinkWidth, unsigned, pcie_width)
VALUE(nvmlDeviceGetMaxPcieLinkWidth, unsigned, pcie_width_max)
VALUE(nvmlDeviceGetPowerManagementLimit, unsigned, power_limit_mw)
VALUE(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, event_reasons)

/* A text that an instance has of its own. */
#define PART_TEXT(name, member) \
    int name(void *device, char *to, unsigned length) { \
        ENTER_PART(name); return fake_copy_text(to, length, part ? part->member : gpu->member); }

PART_TEXT(nvmlDeviceGetName, name)
PART_TEXT(nvmlDeviceGetUUID, uuid)

#define CLOCK(name, member) \
    int name(void *device, unsigned clock, unsigned *mhz) { \
        ENTER(name); if (clock > 3) return INVALID_ARGUMENT; *mhz = gpu->member[clock]; return OK; }

CLOCK(nvmlDeviceGetClockInfo, clock_mhz)
CLOCK(nvmlDeviceGetMaxClockInfo, clock_max_mhz)

int nvmlDeviceGetPciInfo_v3(void *device, struct pci *to) {
    ENTER(nvmlDeviceGetPciInfo_v3);
    memset(to, 0, sizeof *to);
    return fake_copy_text(to->bus_id, sizeof to->bus_id, gpu->bus_id);
}

int nvmlDeviceGetUtilizationRates(void *device, struct utilization *to) {
    ENTER(nvmlDeviceGetUtilizationRates);
    if (gpu->mig_mode)
        return NOT_SUPPORTED;
    *to = (struct utilization){gpu->busy_percent, gpu->memory_busy_percent};
    return OK;
}

#define VIDEO(name, member) \
    int name(void *device, unsigned *percent, unsigned *sampled_us) { \
        ENTER(name); if (gpu->mig_mode) return NOT_SUPPORTED; \
        *percent = gpu->member; *sampled_us = 167000; return OK; }

VIDEO(nvmlDeviceGetEncoderUtilization, encoder_percent)
VIDEO(nvmlDeviceGetDecoderUtilization, decoder_percent)

/* The first version counts the driver's reservation as used, as the real one does. */
int nvmlDeviceGetMemoryInfo(void *device, struct memory *to) {
    ENTER(nvmlDeviceGetMemoryInfo);
    *to = (struct memory){gpu->memory_total, gpu->memory_free, gpu->memory_used + gpu->memory_reserved};
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *to) {
    ENTER_PART(nvmlDeviceGetMemoryInfo_v2);
    if (to->version != (sizeof *to | 2u << 24))
        return VERSION_MISMATCH;
    *to = part ? (struct memory_v2){to->version, part->memory_total, part->memory_reserved,
                                    part->memory_free, part->memory_used}
               : (struct memory_v2){to->version, gpu->memory_total, gpu->memory_reserved,
                                    gpu->memory_free, gpu->memory_used};
    return OK;
}

int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius) {
    ENTER(nvmlDeviceGetTemperature);
    if (sensor)
        return INVALID_ARGUMENT;
    *celsius = gpu->temperature;
    return OK;
}

int nvmlDeviceGetTemperatureV(void *device, struct temperature *to) {
    ENTER(nvmlDeviceGetTemperatureV);
    if (to->version != (sizeof *to | 1u << 24))
        return VERSION_MISMATCH;
    to->celsius = gpu->temperature;
    return OK;
}

const struct field *fake_field(const struct gpu *gpu, uint32_t id, uint32_t scope) {
    for (const struct field *field = gpu->fields; field < gpu->fields + MAX_FIELDS; field++)
        if (field->id == id && field->scope == scope)
            return field;
    return NULL;
}

int nvmlDeviceGetFieldValues(void *device, int count, struct field_value *values) {
    ENTER(nvmlDeviceGetFieldValues);
    for (struct field_value *to = values; to < values + count; to++) {
        const struct field *field = fake_field(gpu, to->id, to->scope);
        to->result = field ? field->result : NOT_SUPPORTED;
        if (to->result)
            continue;
        to->kind = field->kind;
        to->value.whole = field->value.whole;
    }
    return OK;
}
