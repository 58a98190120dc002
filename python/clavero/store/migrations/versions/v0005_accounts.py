"""Accounts, and the access keys of their root users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "accounts",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_accounts")),
        sa.CheckConstraint("length(account) = 12", name=op.f("ck_accounts_account")),
    )
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id", name=op.f("pk_access_keys")),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.account"],
            name=op.f("fk_access_keys_accounts"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("length(access_key_id) > 0", name=op.f("ck_access_keys_access_key_id")),
        sa.CheckConstraint("length(secret) > 0", name=op.f("ck_access_keys_secret")),
    )
    op.create_index(op.f("ix_access_keys_account"), "access_keys", ["account"])
