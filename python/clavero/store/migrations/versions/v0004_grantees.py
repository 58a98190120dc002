"""Grants are found by their grantee: each call of who is no administrator asks for them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_grants_region_account_key_id_grantee_grant_id"),
        "grants",
        ["region", "account", "key_id", "grantee", "grant_id"],
    )


def downgrade() -> None:
    """Drop the index: it holds nothing of its own."""
    op.drop_index(op.f("ix_grants_region_account_key_id_grantee_grant_id"), "grants")
