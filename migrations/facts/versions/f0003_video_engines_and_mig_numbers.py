"""What dcgm-exporter tells besides: the load of the video engines, the number of a MIG instance."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADDED = (
    ("mig_instance", "Int64", "mig_profile"),
    ("encoder_busy_ratio", "Float64", "memory_busy_ratio"),
    ("decoder_busy_ratio", "Float64", "encoder_busy_ratio"),
)


def upgrade() -> None:
    for name, kind, after in _ADDED:
        op.execute(
            f"ALTER TABLE gpu_samples ADD COLUMN IF NOT EXISTS `{name}` Nullable({kind}) AFTER `{after}`"
        )


def downgrade() -> None:
    for name, _, _ in reversed(_ADDED):
        op.execute(f"ALTER TABLE gpu_samples DROP COLUMN IF EXISTS `{name}`")
