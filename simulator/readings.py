"""What is read from a running fleet each second: engines, GPUs, placements."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.cluster import RunningReplica
from simulator.gpus import GpuTotals, gpu_sample, lost_gpu_sample
from simulator.jobs import Job
from simulator.specs import PoolSpec, ReplicaPlace
from telemetry.placement import Placement
from telemetry.requests import Finish
from telemetry.samples import EngineSample, GpuSample, ReplicaState

ENGINE = "vllm"
ENGINE_VERSION = "0.33.0+simulated"


def engine_sample(replica: RunningReplica, at_us: int) -> EngineSample:
    """Return what an agent could read from the engine now; down, it is `up` false and no more."""
    if replica.engine.up:
        return _of_running(replica, at_us)
    return EngineSample(
        at_us=at_us,
        replica=replica.place.name,
        host=replica.place.host,
        engine=ENGINE,
        model=replica.pool.engine.model,
        pool=replica.pool.name,
        up=False,
    )


def _of_running(replica: RunningReplica, at_us: int) -> EngineSample:
    engine, place, c = replica.engine, replica.place, replica.engine.counters
    return EngineSample(
        at_us=at_us,
        replica=place.name,
        host=place.host,
        engine=ENGINE,
        engine_version=ENGINE_VERSION,
        model=engine.spec.model,
        pool=replica.pool.name,
        state=ReplicaState.READY,
        epoch_us=engine.epoch_us,
        requests_running=len(engine.running),
        requests_waiting=len(engine.waiting),
        requests_waiting_capacity=len(engine.waiting),
        requests_running_max=engine.spec.max_sequences,
        oldest_waiting_us=_oldest(engine.waiting, at_us),
        oldest_running_us=_oldest(engine.running, at_us),
        kv_usage_ratio=engine.pool.usage_ratio,
        kv_blocks=engine.spec.blocks,
        weights_bytes=engine.spec.weights_bytes,
        kv_pool_bytes=engine.spec.kv_pool_bytes,
        kv_block_tokens=engine.spec.block_tokens,
        prompt_tokens_total=c.prompt_tokens,
        generation_tokens_total=c.generation_tokens,
        prefix_queries_total=c.prefix_queries,
        prefix_hits_total=c.prefix_hits,
        preemptions_total=c.preemptions,
        finished_total=c.finished[Finish.STOP] + c.finished[Finish.LENGTH],
        failed_total=c.finished[Finish.ERROR],
        aborted_total=c.finished[Finish.ABORT],
        ttft_count_total=c.ttft.count,
        ttft_us_total=c.ttft.sum_us,
        itl_count_total=c.itl.count,
        itl_us_total=c.itl.sum_us,
        e2e_count_total=c.e2e.count,
        e2e_us_total=c.e2e.sum_us,
        queue_us_total=c.queue.sum_us,
        prefill_us_total=c.prefill.sum_us,
        decode_us_total=c.decode.sum_us,
    )


def _oldest(jobs: Iterable[Job], at_us: int) -> int | None:
    """Return the longest time since arrival, None without any."""
    return max((at_us - job.arrived_us for job in jobs), default=None)


class GpuReader:
    """Reads the GPUs of one replica; activity is the mean since its last reading."""

    def __init__(self, replica: RunningReplica, at_us: int) -> None:
        self._replica = replica
        self._before: GpuTotals = replica.engine.meter.totals(at_us)

    def read(self, at_us: int) -> list[GpuSample]:
        """Return one reading of each GPU, a lost one as such."""
        replica, model = self._replica, self._replica.pool.gpu
        before, after = self._before, replica.engine.meter.totals(at_us)
        self._before = after
        return [
            lost_gpu_sample(gpu, model, at_us)
            if replica.lost(gpu)
            else gpu_sample(gpu, model, at_us=at_us, before=before, after=after)
            for gpu in replica.place.gpus
        ]


def placements(pool: PoolSpec, place: ReplicaPlace, at_us: int) -> list[Placement]:
    """Return which GPUs a replica holds, as known from configuration."""
    return [
        Placement(
            at_us=at_us,
            replica=place.name,
            gpu_uuid=gpu.uuid,
            host=place.host,
            model=pool.engine.model,
            pool=pool.name,
            region=pool.region,
        )
        for gpu in place.gpus
    ]
