"""Every call of the fake driver, made by the unmodified nvidia-ml-py: its sizes and answers hold."""

from __future__ import annotations

import inspect

import pynvml
import pytest

GIB = 1 << 30


@pytest.fixture
def driver(make_driver):
    """A driver with two GPUs, the second one cut into two instances."""
    made = make_driver(gpus=2)
    made.partition(1, "1g.10gb", "2g.20gb")
    made.run(0, 4_711)
    pynvml.nvmlInit()
    yield made
    pynvml.nvmlShutdown()


def gpu():
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def cut():
    return pynvml.nvmlDeviceGetHandleByIndex(1)


def instance():
    return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(cut(), 1)


def fields(handle, *wanted):
    values = pynvml.nvmlDeviceGetFieldValues(handle, list(wanted))
    return [(value.nvmlReturn, value.value.ullVal) for value in values]


def gpm(take):
    first, second = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
    for sample in (first, second):
        take(sample)
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 1
    request.sample1, request.sample2, request.metrics[0].metricId = first, second, 2
    told = pynvml.nvmlGpmMetricsGet(request).metrics[0].value
    for sample in (first, second):
        pynvml.nvmlGpmSampleFree(sample)
    return told


def event():
    listening = pynvml.nvmlEventSetCreate()
    types = pynvml.nvmlDeviceGetSupportedEventTypes(gpu()) & pynvml.nvmlEventTypeXidCriticalError
    pynvml.nvmlDeviceRegisterEvents(gpu(), types, listening)
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait_v2(listening, 0)
    return pynvml.nvmlEventSetFree(listening)


CALLS = {  # what the fake exports -> a call through pynvml, and its answer
    "nvmlSystemGetDriverVersion": (pynvml.nvmlSystemGetDriverVersion, "595.71.05"),
    "nvmlSystemGetNVMLVersion": (pynvml.nvmlSystemGetNVMLVersion, "13.595.71.05"),
    "nvmlSystemGetCudaDriverVersion_v2": (pynvml.nvmlSystemGetCudaDriverVersion_v2, 13_010),
    "nvmlDeviceGetCount_v2": (pynvml.nvmlDeviceGetCount, 2),
    "nvmlDeviceGetHandleByUUID": (
        lambda: pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(cut()))), 1),
    "nvmlDeviceGetName": (lambda: pynvml.nvmlDeviceGetName(instance()), "NVIDIA H100 80GB HBM3 MIG 2g.20gb"),
    "nvmlDeviceGetUUID": (lambda: pynvml.nvmlDeviceGetUUID(gpu()), "GPU-fa4e0000-0000-4000-8000-000000000000"),
    "nvmlDeviceGetIndex": (lambda: pynvml.nvmlDeviceGetIndex(gpu()), 0),
    "nvmlDeviceGetPciInfo_v3": (lambda: pynvml.nvmlDeviceGetPciInfo_v3(gpu()).busId, "00000000:01:00.0"),
    "nvmlDeviceGetUtilizationRates": (lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu()).gpu, 40),
    "nvmlDeviceGetEncoderUtilization": (lambda: pynvml.nvmlDeviceGetEncoderUtilization(gpu()), [0, 167_000]),
    "nvmlDeviceGetDecoderUtilization": (lambda: pynvml.nvmlDeviceGetDecoderUtilization(gpu()), [30, 167_000]),
    "nvmlDeviceGetMemoryInfo": (lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu()).used, 61 * GIB),
    "nvmlDeviceGetMemoryInfo_v2": (lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu(), pynvml.nvmlMemory_v2).used, 60 * GIB),
    "nvmlDeviceGetPowerUsage": (lambda: pynvml.nvmlDeviceGetPowerUsage(gpu()), 305_000),
    "nvmlDeviceGetEnforcedPowerLimit": (lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu()), 700_000),
    "nvmlDeviceGetPowerManagementLimit": (lambda: pynvml.nvmlDeviceGetPowerManagementLimit(gpu()), 700_000),
    "nvmlDeviceGetPowerManagementLimitConstraints": (
        lambda: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu()), [200_000, 700_000]),
    "nvmlDeviceGetTotalEnergyConsumption": (lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu()), 5_000_000),
    "nvmlDeviceGetClockInfo": (lambda: pynvml.nvmlDeviceGetClockInfo(gpu(), pynvml.NVML_CLOCK_SM), 1_755),
    "nvmlDeviceGetMaxClockInfo": (lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu(), pynvml.NVML_CLOCK_MEM), 2_619),
    "nvmlDeviceGetTemperature": (lambda: pynvml.nvmlDeviceGetTemperature(gpu(), 0), 47),
    "nvmlDeviceGetTemperatureV": (lambda: pynvml.nvmlDeviceGetTemperatureV(gpu(), 0), 47),
    "nvmlDeviceGetCurrentClocksEventReasons": (lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu()), 4),
    "nvmlDeviceGetCurrentClocksThrottleReasons": (lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu()), 4),
    "nvmlDeviceGetCurrPcieLinkGeneration": (lambda: pynvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu()), 5),
    "nvmlDeviceGetMaxPcieLinkGeneration": (lambda: pynvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu()), 5),
    "nvmlDeviceGetCurrPcieLinkWidth": (lambda: pynvml.nvmlDeviceGetCurrPcieLinkWidth(gpu()), 16),
    "nvmlDeviceGetMaxPcieLinkWidth": (lambda: pynvml.nvmlDeviceGetMaxPcieLinkWidth(gpu()), 16),
    "nvmlDeviceGetPcieReplayCounter": (lambda: pynvml.nvmlDeviceGetPcieReplayCounter(gpu()), 0),
    "nvmlDeviceGetFieldValues": (lambda: fields(gpu(), 83, (138, 0xFFFFFFFF), (138, 0)), [(0, 5_000_000), (0, 3_000), (3, 0)]),
    "nvmlDeviceGetTotalEccErrors": (lambda: pynvml.nvmlDeviceGetTotalEccErrors(gpu(), 1, 0), 0),
    "nvmlDeviceGetRemappedRows": (lambda: pynvml.nvmlDeviceGetRemappedRows(gpu()), (0, 0, 0, 0)),
    "nvmlDeviceGetViolationStatus": (lambda: pynvml.nvmlDeviceGetViolationStatus(gpu(), 0).violationTime, 2_000_000_000),
    "nvmlDeviceGetSerial": (lambda: pynvml.nvmlDeviceGetSerial(gpu()), "1650323000000"),
    "nvmlDeviceGetVbiosVersion": (lambda: pynvml.nvmlDeviceGetVbiosVersion(gpu()), "96.00.89.00.01"),
    "nvmlDeviceGetBoardPartNumber": (lambda: pynvml.nvmlDeviceGetBoardPartNumber(gpu()), "692-2G520-0200-000"),
    "nvmlDeviceGetPersistenceMode": (lambda: pynvml.nvmlDeviceGetPersistenceMode(gpu()), 1),
    "nvmlDeviceGetEccMode": (lambda: pynvml.nvmlDeviceGetEccMode(gpu()), [1, 1]),
    "nvmlDeviceGetPerformanceState": (lambda: pynvml.nvmlDeviceGetPerformanceState(gpu()), 0),
    "nvmlDeviceGetArchitecture": (lambda: pynvml.nvmlDeviceGetArchitecture(gpu()), pynvml.NVML_DEVICE_ARCH_HOPPER),
    "nvmlDeviceGetCudaComputeCapability": (lambda: pynvml.nvmlDeviceGetCudaComputeCapability(gpu()), (9, 0)),
    "nvmlDeviceGetNumGpuCores": (lambda: pynvml.nvmlDeviceGetNumGpuCores(gpu()), 16_896),
    "nvmlDeviceGetMinorNumber": (lambda: pynvml.nvmlDeviceGetMinorNumber(cut()), 1),
    "nvmlDeviceGetComputeMode": (lambda: pynvml.nvmlDeviceGetComputeMode(gpu()), 0),
    "nvmlDeviceGetMemoryBusWidth": (lambda: pynvml.nvmlDeviceGetMemoryBusWidth(gpu()), 5_120),
    "nvmlDeviceGetMigMode": (lambda: pynvml.nvmlDeviceGetMigMode(cut()), [1, 1]),
    "nvmlDeviceGetMaxMigDeviceCount": (lambda: pynvml.nvmlDeviceGetMaxMigDeviceCount(cut()), 7),
    "nvmlDeviceGetMigDeviceHandleByIndex": (lambda: pynvml.nvmlDeviceGetUUID(instance())[:4], "MIG-"),
    "nvmlDeviceIsMigDeviceHandle": (lambda: pynvml.nvmlDeviceIsMigDeviceHandle(instance()).value, 1),
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": (
        lambda: pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance())), 1),
    "nvmlDeviceGetGpuInstanceId": (lambda: pynvml.nvmlDeviceGetGpuInstanceId(instance()), 8),
    "nvmlDeviceGetComputeInstanceId": (lambda: pynvml.nvmlDeviceGetComputeInstanceId(instance()), 0),
    "nvmlDeviceGetAttributes_v2": (lambda: pynvml.nvmlDeviceGetAttributes_v2(instance()).memorySizeMB, 20 * 1024),
    "nvmlGpmQueryDeviceSupport": (lambda: pynvml.nvmlGpmQueryDeviceSupport(gpu()).isSupportedDevice, 1),
    "nvmlGpmSampleGet": (lambda: gpm(lambda sample: pynvml.nvmlGpmSampleGet(gpu(), sample)), 61.0),
    "nvmlGpmMigSampleGet": (lambda: gpm(lambda sample: pynvml.nvmlGpmMigSampleGet(cut(), 8, sample)), 61.0),
    "nvmlEventSetCreate": (event, None),
    "nvmlDeviceGetComputeRunningProcesses_v3": (
        lambda: [one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu())], [4_711]),
    "nvmlDeviceGetGraphicsRunningProcesses_v3": (lambda: pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3(gpu()), []),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_answers_through_the_real_binding(driver, name):
    call, answer = CALLS[name]
    assert call() == answer


def test_at_least_sixty_calls_are_answered(driver, fake_nvml):
    """Every exported call is made by the table, its helpers or a session's begin and end."""
    for call, _ in CALLS.values():
        call()
    pynvml.nvmlInit()
    pynvml.nvmlShutdown()
    owners = (driver.state.system, *(one.knobs for one in driver.gpus))
    made = [name for at, name in enumerate(fake_nvml.FUNCTIONS) if any(owner[at].calls for owner in owners)]
    assert made == fake_nvml.FUNCTIONS and len(made) >= 60


def test_the_binding_is_the_published_one():
    assert inspect.getfile(pynvml).endswith("site-packages/pynvml.py")
