"""Grants are found by the name of a role, of any path: a session's ARN does not have the path."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_grants_grantee_name"),
        "grants",
        [
            "region",
            "account",
            "key_id",
            sa.text("substr(grantee, length(rtrim(grantee, replace(grantee, '/', ''))) + 1)"),
        ],
    )


def downgrade() -> None:
    """Drop the index: it holds nothing of its own."""
    op.drop_index(op.f("ix_grants_grantee_name"), "grants")
