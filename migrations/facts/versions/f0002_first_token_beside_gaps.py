"""The first token's time beside the gaps of a request, so that every token's deadline can be judged."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE token_gaps ADD COLUMN IF NOT EXISTS `ttft_us` Nullable(Int64) AFTER `replica`")


def downgrade() -> None:
    op.execute("ALTER TABLE token_gaps DROP COLUMN IF EXISTS `ttft_us`")
