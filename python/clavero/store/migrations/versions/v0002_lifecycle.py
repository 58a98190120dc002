"""Rotation, imported material and key pairs in keys and their versions; grants; last usage.

SQLite changes a column's or a table's constraints only by a new table, so that both are made anew
under their old names: the rows wait in a copy meanwhile.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COPY_KEYS = (
    "INSERT INTO keys (region, account, key_id, description, usage, spec, origin, manager, "
    "enabled, created, deletion_date, pending_window, multi_region, policy, current_version) "
    "SELECT region, account, key_id, description, usage, spec, origin, manager, "
    "enabled, created, deletion_date, pending_window, multi_region, policy, current_version "
    "FROM keys_before"
)
_COPY_VERSIONS = (
    "INSERT INTO key_versions (region, hbkid, account, key_id, token, domain_key_id, "
    "material_id, created, number, state) "
    "SELECT v.region, v.hbkid, v.account, v.key_id, v.token, v.domain_key_id, "
    "v.material_id, v.created, row_number() OVER "
    "(PARTITION BY v.region, v.account, v.key_id ORDER BY v.created, v.hbkid), "
    "CASE WHEN v.hbkid = k.current_version THEN 'CURRENT' ELSE 'NON_CURRENT' END "
    "FROM key_versions_before AS v JOIN keys AS k "
    "ON k.region = v.region AND k.account = v.account AND k.key_id = v.key_id"
)


def upgrade() -> None:
    """Rebuild keys and key versions, then make the new tables."""
    op.execute("CREATE TABLE keys_before AS SELECT * FROM keys")
    op.execute("CREATE TABLE key_versions_before AS SELECT * FROM key_versions")
    op.drop_table("key_versions")
    op.drop_table("keys")
    _create_keys()
    _create_versions()
    op.execute(_COPY_KEYS)
    op.execute(_COPY_VERSIONS)
    op.drop_table("key_versions_before")
    op.drop_table("keys_before")
    _create_grants()
    _create_last_usage()


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
            "deletion_date IS NULL OR NOT enabled", name=op.f("ck_keys_pending_deletion")
        ),
        sa.CheckConstraint(
            "deletion_date IS NULL OR pending_window IS NOT NULL",
            name=op.f("ck_keys_pending_window"),
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
            "state IN ('CURRENT', 'NON_CURRENT', 'PENDING_ROTATION')",
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


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("grantee", sa.String(), nullable=True),
        sa.Column("grantee_service", sa.String(), nullable=True),
        sa.Column("retiring", sa.String(), nullable=True),
        sa.Column("retiring_service", sa.String(), nullable=True),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("constraints", sa.Text(), nullable=True),
        sa.Column("issuing_account", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("region", "account", "key_id", "grant_id", name=op.f("pk_grants")),
        sa.ForeignKeyConstraint(
            ["region", "account", "key_id"],
            ["keys.region", "keys.account", "keys.key_id"],
            name=op.f("fk_grants_keys"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("length(grant_id) = 64", name=op.f("ck_grants_grant_id")),
        sa.CheckConstraint(
            "(grantee IS NULL) <> (grantee_service IS NULL)", name=op.f("ck_grants_grantee")
        ),
        sa.CheckConstraint(
            "retiring IS NULL OR retiring_service IS NULL", name=op.f("ck_grants_retiring")
        ),
    )
    op.create_index(
        op.f("ix_grants_region_account_key_id_name"),
        "grants",
        ["region", "account", "key_id", "name"],
    )
    op.create_index(
        op.f("ix_grants_region_retiring_account_key_id_grant_id"),
        "grants",
        ["region", "retiring", "account", "key_id", "grant_id"],
    )


def _create_last_usage() -> None:
    op.create_table(
        "last_usage",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("region", "account", "key_id", name=op.f("pk_last_usage")),
        sa.ForeignKeyConstraint(
            ["region", "account", "key_id"],
            ["keys.region", "keys.account", "keys.key_id"],
            name=op.f("fk_last_usage_keys"),
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Refuse: what the new columns and tables hold has no place in the old ones."""
    raise RuntimeError("A store of schema 0002 does not go back to 0001: restore a backup of it.")
