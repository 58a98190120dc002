"""Multi-Region keys: where the primary key is, primaries that wait for their replicas' deletion.

SQLite changes a table's constraints only by a new table, so that both are made anew under their
old names: the rows wait in a copy meanwhile. Their children keep to the names.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rebuild keys and key versions. No release before this one made multi-Region keys."""
    op.execute("CREATE TABLE keys_before AS SELECT * FROM keys")
    op.execute("CREATE TABLE key_versions_before AS SELECT * FROM key_versions")
    op.drop_table("key_versions")
    op.drop_table("keys")
    _create_keys()
    _create_versions()
    # The columns are as they were, and in their order
    op.execute("INSERT INTO keys SELECT * FROM keys_before")
    op.execute("INSERT INTO key_versions SELECT * FROM key_versions_before")
    op.drop_table("key_versions_before")
    op.drop_table("keys_before")


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("usage", sa.String(), nullable=False),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("manager", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("deletion_date", sa.Double(), nullable=True),
        sa.Column("pending_window", sa.Integer(), nullable=True),
        sa.Column("multi_region", sa.Boolean(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("current_version", sa.LargeBinary(16), nullable=True),
        sa.Column("rotation_period", sa.Integer(), nullable=True),
        sa.Column("next_rotation", sa.Double(), nullable=True),
        sa.Column("primary_region", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("region", "account", "key_id", name=op.f("pk_keys")),
        sa.CheckConstraint("length(region) > 0", name=op.f("ck_keys_region")),
        sa.CheckConstraint("length(account) = 12", name=op.f("ck_keys_account")),
        sa.CheckConstraint("length(key_id) > 0", name=op.f("ck_keys_key_id")),
        sa.CheckConstraint("length(current_version) = 16", name=op.f("ck_keys_current_version")),
        sa.CheckConstraint(
            "pending_window IS NULL OR NOT enabled", name=op.f("ck_keys_pending_deletion")
        ),
        sa.CheckConstraint(
            "deletion_date IS NULL OR pending_window IS NOT NULL",
            name=op.f("ck_keys_pending_window"),
        ),
        sa.CheckConstraint(
            "multi_region = (primary_region IS NOT NULL)", name=op.f("ck_keys_multi_region")
        ),
        sa.CheckConstraint(
            "current_version IS NOT NULL OR NOT enabled", name=op.f("ck_keys_material")
        ),
        sa.CheckConstraint(
            "(rotation_period IS NULL) = (next_rotation IS NULL)", name=op.f("ck_keys_rotation")
        ),
    )
    op.create_index(op.f("ix_keys_deletion_date"), "keys", ["deletion_date"])
    op.create_index(op.f("ix_keys_next_rotation"), "keys", ["next_rotation"])
    op.create_index(
        op.f("ix_keys_account_key_id"),
        "keys",
        ["account", "key_id"],
        sqlite_where=sa.text("primary_region IS NOT NULL"),
    )


def _create_versions() -> None:
    op.create_table(
        "key_versions",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("hbkid", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.Column("domain_key_id", sa.LargeBinary(16), nullable=True),
        sa.Column("material_id", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rotation_type", sa.String(), nullable=True),
        sa.Column("rotated", sa.Double(), nullable=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("import_state", sa.String(), nullable=True),
        sa.Column("expiration_model", sa.String(), nullable=True),
        sa.Column("valid_to", sa.Double(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=True),
        sa.PrimaryKeyConstraint("region", "hbkid", name=op.f("pk_key_versions")),
        sa.ForeignKeyConstraint(
            ["region", "account", "key_id"],
            ["keys.region", "keys.account", "keys.key_id"],
            name=op.f("fk_key_versions_keys"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("length(hbkid) = 16", name=op.f("ck_key_versions_hbkid")),
        sa.CheckConstraint("length(token) > 0", name=op.f("ck_key_versions_token")),
        sa.CheckConstraint(
            "(token IS NULL) = (domain_key_id IS NULL)", name=op.f("ck_key_versions_sealed")
        ),
        sa.CheckConstraint(
            "length(domain_key_id) = 16", name=op.f("ck_key_versions_domain_key_id")
        ),
        sa.CheckConstraint("length(material_id) = 64", name=op.f("ck_key_versions_material_id")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_key_versions_number")),
        sa.CheckConstraint(
            "state IN ('CURRENT', 'NON_CURRENT', 'PENDING_ROTATION', "
            "'PENDING_MULTI_REGION_IMPORT_AND_ROTATION')",
            name=op.f("ck_key_versions_state"),
        ),
        sa.CheckConstraint(
            "(rotation_type IS NULL) = (rotated IS NULL)", name=op.f("ck_key_versions_rotated")
        ),
    )
    op.create_index(
        op.f("ix_key_versions_region_domain_key_id_hbkid"),
        "key_versions",
        ["region", "domain_key_id", "hbkid"],
    )
    op.create_index(
        op.f("ix_key_versions_region_account_key_id_number"),
        "key_versions",
        ["region", "account", "key_id", "number"],
        unique=True,
    )
    op.create_index(op.f("ix_key_versions_valid_to"), "key_versions", ["valid_to"])


def downgrade() -> None:
    """Refuse: the old tables have no place for keys of several Regions."""
    raise RuntimeError("A store of schema 0003 does not go back to 0002: restore a backup of it.")
