"""The first tables: meta, domains, keys, key versions, aliases, tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "domains",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("region", name=op.f("pk_domains")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_domains_version")),
        sa.CheckConstraint("length(state) > 0", name=op.f("ck_domains_state")),
    )
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
        sa.Column("current_version", sa.LargeBinary(16), nullable=False),
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
    )
    op.create_index(op.f("ix_keys_deletion_date"), "keys", ["deletion_date"])
    op.create_table(
        "key_versions",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("hbkid", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("domain_key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("material_id", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
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
            "length(domain_key_id) = 16", name=op.f("ck_key_versions_domain_key_id")
        ),
        sa.CheckConstraint("length(material_id) = 64", name=op.f("ck_key_versions_material_id")),
    )
    op.create_index(
        op.f("ix_key_versions_region_domain_key_id_hbkid"),
        "key_versions",
        ["region", "domain_key_id", "hbkid"],
    )
    op.create_index(
        op.f("ix_key_versions_region_account_key_id"),
        "key_versions",
        ["region", "account", "key_id"],
    )
    op.create_table(
        "aliases",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("region", "account", "name", name=op.f("pk_aliases")),
        sa.ForeignKeyConstraint(
            ["region", "account", "key_id"],
            ["keys.region", "keys.account", "keys.key_id"],
            name=op.f("fk_aliases_keys"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("substr(name, 1, 6) = 'alias/'", name=op.f("ck_aliases_name")),
    )
    op.create_index(
        op.f("ix_aliases_region_account_key_id_name"),
        "aliases",
        ["region", "account", "key_id", "name"],
    )
    op.create_table(
        "tags",
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("tag_key", sa.String(), nullable=False),
        sa.Column("tag_value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("region", "account", "key_id", "tag_key", name=op.f("pk_tags")),
        sa.ForeignKeyConstraint(
            ["region", "account", "key_id"],
            ["keys.region", "keys.account", "keys.key_id"],
            name=op.f("fk_tags_keys"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("length(tag_key) > 0", name=op.f("ck_tags_tag_key")),
    )


def downgrade() -> None:
    """Drop the tables, children first."""
    for name in ("tags", "aliases", "key_versions", "keys", "domains", "meta"):
        op.drop_table(name)
