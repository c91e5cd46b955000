"""First tables: every kind of fact that agents send, count cells, the ledger, evidence."""

from __future__ import annotations

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SETTINGS = """
  fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
  min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480, ttl_only_drop_parts = 1"""

_TABLES = {
    "requests": """
  `request_id` String, `tenant` LowCardinality(String), `team` LowCardinality(Nullable(String)),
  `workload` LowCardinality(Nullable(String)), `priority` Nullable(Int64),
  `model` LowCardinality(String), `adapter` LowCardinality(Nullable(String)),
  `pool` LowCardinality(Nullable(String)), `replica` LowCardinality(Nullable(String)),
  `route` LowCardinality(Nullable(String)), `region` LowCardinality(Nullable(String)),
  `vantage` LowCardinality(String), `synthetic` Bool, `status` LowCardinality(String),
  `finish` LowCardinality(Nullable(String)), `http_status` Nullable(Int64),
  `error_class` LowCardinality(Nullable(String)), `retry` Int64, `retry_of` Nullable(String),
  `started_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `ended_at_us` Int64 CODEC(Delta(8), ZSTD(1)),
  `e2e_us` Int64, `queue_us` Nullable(Int64), `ttft_us` Nullable(Int64),
  `first_byte_us` Nullable(Int64), `last_token_us` Nullable(Int64), `dependency_us` Nullable(Int64),
  `tool_call_us` Nullable(Int64), `prompt_tokens` Nullable(Int64), `cached_tokens` Nullable(Int64),
  `cached_host_tokens` Nullable(Int64), `cached_storage_tokens` Nullable(Int64),
  `output_tokens` Nullable(Int64), `reasoning_tokens` Nullable(Int64), `draft_tokens` Nullable(Int64),
  `accepted_draft_tokens` Nullable(Int64), `max_output_tokens` Nullable(Int64), `tokens_estimated` Bool,
  `choices` Int64, `tool_calls` Nullable(Int64), `output_empty` Nullable(Bool), `stream` Bool,
  `gap_max_us` Nullable(Int64), `gap_buckets` Array(UInt32), `chunks` Nullable(Int64),
  `prefill_tokens` Nullable(Int64), `prefill_tokens_recomputed` Nullable(Int64),
  `preemptions` Nullable(Int64), `run_us` Nullable(Int64), `steps` Nullable(Int64),
  `step_share_nano` Nullable(Int64), `kv_token_steps` Nullable(Int64), `agent` LowCardinality(String),
  `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(ended_at_us, 'UTC')), dataset)
ORDER BY (intDiv(ended_at_us, 3600000000), model, tenant, ended_at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(62)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "token_gaps": """
  `request_id` String, `ended_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `model` LowCardinality(String),
  `replica` LowCardinality(Nullable(String)), `gaps_us` Array(UInt32), `agent` LowCardinality(String),
  `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(ended_at_us, 'UTC')), dataset)
ORDER BY (intDiv(ended_at_us, 3600000000), model, ended_at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(7)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "in_flight": """
  `request_id` String, `at_us` Int64 CODEC(Delta(8), ZSTD(1)),
  `started_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `ttft_us` Nullable(Int64),
  `output_tokens` Nullable(Int64), `max_output_tokens` Nullable(Int64), `stream` Bool,
  `tenant` LowCardinality(String), `model` LowCardinality(String),
  `pool` LowCardinality(Nullable(String)), `replica` LowCardinality(Nullable(String)),
  `route` LowCardinality(Nullable(String)), `vantage` LowCardinality(String), `synthetic` Bool,
  `agent` LowCardinality(String), `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (intDiv(at_us, 3600000000), model, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(7)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "gpu_samples": """
  `at_us` Int64 CODEC(Delta(8), ZSTD(1)), `gpu_uuid` LowCardinality(String),
  `host` LowCardinality(String), `gpu_index` Nullable(Int64),
  `gpu_model` LowCardinality(Nullable(String)), `pci_bus_id` LowCardinality(Nullable(String)),
  `mig_parent_uuid` LowCardinality(Nullable(String)), `mig_profile` LowCardinality(Nullable(String)),
  `driver_version` LowCardinality(Nullable(String)), `up` Bool, `kernel_busy_ratio` Nullable(Float64),
  `memory_busy_ratio` Nullable(Float64), `sm_activity_ratio` Nullable(Float64),
  `sm_occupancy_ratio` Nullable(Float64), `tensor_activity_ratio` Nullable(Float64),
  `dram_activity_ratio` Nullable(Float64), `activity_source` LowCardinality(Nullable(String)),
  `memory_total_bytes` Nullable(Int64), `memory_used_bytes` Nullable(Int64),
  `memory_reserved_bytes` Nullable(Int64), `memory_free_bytes` Nullable(Int64),
  `power_watts` Nullable(Float64), `power_limit_watts` Nullable(Float64),
  `energy_millijoules_total` Nullable(Int64), `sm_clock_mhz` Nullable(Int64),
  `sm_clock_max_mhz` Nullable(Int64), `memory_clock_mhz` Nullable(Int64),
  `temperature_celsius` Nullable(Float64), `memory_temperature_celsius` Nullable(Float64),
  `event_reasons` Nullable(Int64), `throttle_power_us_total` Nullable(Int64),
  `throttle_thermal_us_total` Nullable(Int64), `throttle_hardware_us_total` Nullable(Int64),
  `ecc_corrected_total` Nullable(Int64), `ecc_uncorrected_total` Nullable(Int64),
  `remapped_rows_corrected` Nullable(Int64), `remapped_rows_uncorrected` Nullable(Int64),
  `remap_pending` Nullable(Bool), `remap_failed` Nullable(Bool), `recovery_action` Nullable(Int64),
  `pcie_generation` Nullable(Int64), `pcie_width` Nullable(Int64), `pcie_width_max` Nullable(Int64),
  `pcie_replays_total` Nullable(Int64), `pcie_tx_bytes_total` Nullable(Int64),
  `pcie_rx_bytes_total` Nullable(Int64), `nvlink_tx_bytes_total` Nullable(Int64),
  `nvlink_rx_bytes_total` Nullable(Int64), `nvlink_errors_total` Nullable(Int64),
  `read_us` Nullable(Int64), `agent` LowCardinality(String), `boot` LowCardinality(String), `seq` Int64,
  `block` Int64, `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (intDiv(at_us, 3600000000), gpu_uuid, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(7)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "engine_samples": """
  `at_us` Int64 CODEC(Delta(8), ZSTD(1)), `replica` LowCardinality(String),
  `host` LowCardinality(String), `engine` LowCardinality(String),
  `engine_version` LowCardinality(Nullable(String)), `model` LowCardinality(Nullable(String)),
  `pool` LowCardinality(Nullable(String)), `vantage` LowCardinality(String), `up` Bool,
  `state` LowCardinality(String), `stage` LowCardinality(Nullable(String)), `epoch_us` Nullable(Int64),
  `requests_running` Nullable(Int64), `requests_waiting` Nullable(Int64),
  `requests_waiting_capacity` Nullable(Int64), `requests_waiting_deferred` Nullable(Int64),
  `requests_running_max` Nullable(Int64), `oldest_waiting_us` Nullable(Int64),
  `oldest_running_us` Nullable(Int64), `kv_usage_ratio` Nullable(Float64), `kv_blocks` Nullable(Int64),
  `kv_block_tokens` Nullable(Int64), `weights_bytes` Nullable(Int64), `kv_pool_bytes` Nullable(Int64),
  `prompt_tokens_total` Nullable(Int64), `generation_tokens_total` Nullable(Int64),
  `prefix_queries_total` Nullable(Int64), `prefix_hits_total` Nullable(Int64),
  `preemptions_total` Nullable(Int64), `finished_total` Nullable(Int64), `failed_total` Nullable(Int64),
  `aborted_total` Nullable(Int64), `rejected_total` Nullable(Int64),
  `draft_tokens_total` Nullable(Int64), `accepted_draft_tokens_total` Nullable(Int64),
  `ttft_count_total` Nullable(Int64), `ttft_us_total` Nullable(Int64),
  `itl_count_total` Nullable(Int64), `itl_us_total` Nullable(Int64), `e2e_count_total` Nullable(Int64),
  `e2e_us_total` Nullable(Int64), `queue_us_total` Nullable(Int64), `prefill_us_total` Nullable(Int64),
  `decode_us_total` Nullable(Int64), `flops_total` Nullable(Int64), `read_bytes_total` Nullable(Int64),
  `write_bytes_total` Nullable(Int64), `scrape_us` Nullable(Int64), `agent` LowCardinality(String),
  `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (intDiv(at_us, 3600000000), replica, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(7)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "placements": """
  `at_us` Int64 CODEC(Delta(8), ZSTD(1)), `replica` LowCardinality(String),
  `gpu_uuid` LowCardinality(String), `host` LowCardinality(String),
  `model` LowCardinality(Nullable(String)), `pool` LowCardinality(Nullable(String)),
  `region` LowCardinality(Nullable(String)), `until_us` Nullable(Int64),
  `source` LowCardinality(String), `confidence_ratio` Float64, `agent` LowCardinality(String),
  `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (intDiv(at_us, 3600000000), gpu_uuid, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(400)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "events": """
  `at_us` Int64 CODEC(Delta(8), ZSTD(1)), `kind` LowCardinality(String), `host` LowCardinality(String),
  `replica` LowCardinality(Nullable(String)), `gpu_uuid` LowCardinality(Nullable(String)),
  `code` Nullable(Int64), `message` String, `agent` LowCardinality(String),
  `boot` LowCardinality(String), `seq` Int64, `block` Int64,
  `received_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `origin` LowCardinality(String),
  `dataset` LowCardinality(String), INDEX by_block block TYPE minmax GRANULARITY 1
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMMDD(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (intDiv(at_us, 3600000000), kind, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(received_at_us, 1000000), 'UTC') + toIntervalDay(400)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "count_cells": """
  `objective_version` LowCardinality(String), `group_key` String, `bucket_us` Int64,
  `bucket_width_us` Int64, `good` Int64, `total` Int64, `upto` Int64,
  `written_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `dataset` LowCardinality(String)
) ENGINE = {replicated}ReplacingMergeTree(upto)
PARTITION BY (bucket_width_us
  , if(bucket_width_us < 3600000000
    , toYYYYMMDD(fromUnixTimestamp64Micro(bucket_us, 'UTC'))
    , toYYYYMM(fromUnixTimestamp64Micro(bucket_us, 'UTC'))), dataset)
ORDER BY (bucket_width_us, bucket_us, objective_version, group_key, dataset)
TTL if(dataset = ''
  , toDateTime(intDiv(written_at_us, 1000000), 'UTC')
    + toIntervalDay(if(bucket_width_us < 3600000000, 35, 400))
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "ledger": """
  `ledger_version` LowCardinality(String), `interval_start_us` Int64, `interval_end_us` Int64,
  `from_us` Int64, `to_us` Int64, `gpu_uuid` LowCardinality(String), `replica` LowCardinality(String),
  `pool` LowCardinality(Nullable(String)), `model` LowCardinality(Nullable(String)),
  `tenant` LowCardinality(Nullable(String)), `scope` LowCardinality(String),
  `tier` LowCardinality(String), `class` LowCardinality(String), `amount_nano` Nullable(Int64),
  `provisional` Bool, `written_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `dataset` LowCardinality(String)
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMM(fromUnixTimestamp64Micro(interval_start_us, 'UTC')), dataset)
ORDER BY (interval_start_us, ledger_version, gpu_uuid)
TTL if(dataset = ''
  , toDateTime(intDiv(written_at_us, 1000000), 'UTC') + toIntervalDay(400)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
    "evidence": """
  `finding_id` String, `at_us` Int64 CODEC(Delta(8), ZSTD(1)), `name` LowCardinality(String),
  `body` String, `written_at_us` Int64 CODEC(Delta(8), ZSTD(1)), `dataset` LowCardinality(String)
) ENGINE = {replicated}MergeTree()
PARTITION BY (toYYYYMM(fromUnixTimestamp64Micro(at_us, 'UTC')), dataset)
ORDER BY (finding_id, at_us)
TTL if(dataset = ''
  , toDateTime(intDiv(written_at_us, 1000000), 'UTC') + toIntervalDay(400)
  , toDateTime('2100-01-01 00:00:00', 'UTC'))""",
}


def upgrade() -> None:
    replicated = "Replicated" if context.config.attributes.get("replicated") else ""
    for name, rest in _TABLES.items():
        columns = rest.replace("{replicated}", replicated)
        op.get_bind().exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {name} ({columns}\nSETTINGS {_SETTINGS}")


def downgrade() -> None:
    for name in _TABLES:
        op.get_bind().exec_driver_sql(f"DROP TABLE IF EXISTS {name} SYNC")
