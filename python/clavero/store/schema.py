"""The tables, their constraints and indexes, and the migrations that this program knows.

A key is named by (region, account, key_id) and a key version by (region, hbkid): two Regions
or two accounts never share a row. Times are seconds since 1970-01-01T00:00:00 UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

# Migrations in the order in which they apply. The last one is what `metadata` below describes.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
HEAD: str = REVISIONS[-1]

# Written into the header of the database file, so that another program's SQLite file is refused.
APPLICATION_ID = 0x434C5652  # "CLVR"

# Every constraint has a name that follows from its table, so that a migration can name it.
NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

metadata = MetaData(naming_convention=NAMING)

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

domains = Table(
    "domains",
    metadata,
    Column("region", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("updated", Double, nullable=False),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("length(state) > 0", name="state"),
)

keys = Table(
    "keys",
    metadata,
    Column("region", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("description", Text, nullable=False),
    Column("usage", String, nullable=False),
    Column("spec", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("manager", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("deletion_date", Double),
    Column("pending_window", Integer),
    Column("multi_region", Boolean, nullable=False),
    Column("policy", Text, nullable=False),
    # None while the key has no key material: its state is PendingImport.
    Column("current_version", LargeBinary(16)),
    Column("rotation_period", Integer),
    Column("next_rotation", Double),
    # Of multi-Region keys: the Region of the primary key, which may be this one.
    Column("primary_region", String),
    CheckConstraint("length(region) > 0", name="region"),
    CheckConstraint("length(account) = 12", name="account"),
    CheckConstraint("length(key_id) > 0", name="key_id"),
    CheckConstraint("length(current_version) = 16", name="current_version"),
    # A key that waits for its deletion must not be usable, whatever a caller forgets to check. With
    # a window and without a date it waits for the deletion of its replicas.
    CheckConstraint("pending_window IS NULL OR NOT enabled", name="pending_deletion"),
    CheckConstraint("deletion_date IS NULL OR pending_window IS NOT NULL", name="pending_window"),
    CheckConstraint("multi_region = (primary_region IS NOT NULL)", name="multi_region"),
    CheckConstraint("current_version IS NOT NULL OR NOT enabled", name="material"),
    CheckConstraint("(rotation_period IS NULL) = (next_rotation IS NULL)", name="rotation"),
    Index(None, "deletion_date"),
    Index(None, "next_rotation"),
    # The related keys of a multi-Region key, of which there are few among many.
    Index(None, "account", "key_id", sqlite_where=text("primary_region IS NOT NULL")),
)

key_versions = Table(
    "key_versions",
    metadata,
    Column("region", String, primary_key=True),
    Column("hbkid", LargeBinary(16), primary_key=True),
    Column("account", String, nullable=False),
    Column("key_id", String, nullable=False),
    # Both None: imported key material that was deleted, or expired.
    Column("token", LargeBinary),
    Column("domain_key_id", LargeBinary(16)),
    Column("material_id", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("rotation_type", String),
    Column("rotated", Double),
    Column("public_key", LargeBinary),
    Column("import_state", String),
    Column("expiration_model", String),
    Column("valid_to", Double),
    Column("description", Text),
    Column("fingerprint", LargeBinary(32)),
    ForeignKeyConstraint(
        ["region", "account", "key_id"],
        ["keys.region", "keys.account", "keys.key_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("length(hbkid) = 16", name="hbkid"),
    CheckConstraint("length(token) > 0", name="token"),
    CheckConstraint("(token IS NULL) = (domain_key_id IS NULL)", name="sealed"),
    CheckConstraint("length(domain_key_id) = 16", name="domain_key_id"),
    CheckConstraint("length(material_id) = 64", name="material_id"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint(
        "state IN ('CURRENT', 'NON_CURRENT', 'PENDING_ROTATION', "
        "'PENDING_MULTI_REGION_IMPORT_AND_ROTATION')",
        name="state",
    ),
    CheckConstraint("(rotation_type IS NULL) = (rotated IS NULL)", name="rotated"),
    # With hbkid at its end the index gives re-wrap its batches in order, without a sort.
    Index(None, "region", "domain_key_id", "hbkid"),
    # In the order of rotations, which times do not give: several may bear the same one.
    Index(None, "region", "account", "key_id", "number", unique=True),
    Index(None, "valid_to"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("region", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    ForeignKeyConstraint(
        ["region", "account", "key_id"],
        ["keys.region", "keys.account", "keys.key_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("substr(name, 1, 6) = 'alias/'", name="name"),
    # With name at its end the index gives the pages of one key's aliases in order.
    Index(None, "region", "account", "key_id", "name"),
)

tags = Table(
    "tags",
    metadata,
    Column("region", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("tag_key", String, primary_key=True),
    Column("tag_value", String, nullable=False),
    ForeignKeyConstraint(
        ["region", "account", "key_id"],
        ["keys.region", "keys.account", "keys.key_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("length(tag_key) > 0", name="tag_key"),
)

# What follows the last slash of a grantee: of a role's ARN the role's name, without its path.
GRANTEE_NAME = "substr(grantee, length(rtrim(grantee, replace(grantee, '/', ''))) + 1)"

grants = Table(
    "grants",
    metadata,
    Column("region", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("grant_id", String, primary_key=True),
    Column("name", String),
    Column("grantee", String),
    Column("grantee_service", String),
    Column("retiring", String),
    Column("retiring_service", String),
    Column("operations", Text, nullable=False),
    Column("constraints", Text),
    Column("issuing_account", String, nullable=False),
    Column("created", Double, nullable=False),
    ForeignKeyConstraint(
        ["region", "account", "key_id"],
        ["keys.region", "keys.account", "keys.key_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("length(grant_id) = 64", name="grant_id"),
    CheckConstraint("(grantee IS NULL) <> (grantee_service IS NULL)", name="grantee"),
    CheckConstraint("retiring IS NULL OR retiring_service IS NULL", name="retiring"),
    Index(None, "region", "account", "key_id", "name"),
    Index(None, "region", "retiring", "account", "key_id", "grant_id"),
    Index(None, "region", "account", "key_id", "grantee", "grant_id"),
    # SQLAlchemy cannot read it back: a batch migration of this table must make it again.
    Index("ix_grants_grantee_name", "region", "account", "key_id", text(GRANTEE_NAME)),
)

last_usage = Table(
    "last_usage",
    metadata,
    Column("region", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("operation", String, nullable=False),
    Column("used", Double, nullable=False),
    Column("event_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    ForeignKeyConstraint(
        ["region", "account", "key_id"],
        ["keys.region", "keys.account", "keys.key_id"],
        ondelete="CASCADE",
    ),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", String, primary_key=True),
    Column("created", Double, nullable=False),
    CheckConstraint("length(account) = 12", name="account"),
)

# Users, groups, roles and managed policies. AWS compares names without regard to case: `folded`
# is the name in lower case. `trust` and `max_session` are a role's, `default_version` a policy's;
# `boundary` is the ARN of a managed policy, which may be one of AWS's and so no row here.
identities = Table(
    "identities",
    metadata,
    Column("unique_id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("folded", String, nullable=False),
    Column("path", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("description", Text, nullable=False),
    Column("boundary", String),
    Column("trust", Text),
    Column("max_session", Integer),
    Column("default_version", Integer),
    ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
    CheckConstraint("kind IN ('user', 'group', 'role', 'policy')", name="kind"),
    CheckConstraint("(trust IS NOT NULL) = (kind = 'role')", name="trust"),
    CheckConstraint("(max_session IS NOT NULL) = (kind = 'role')", name="max_session"),
    CheckConstraint("(default_version IS NOT NULL) = (kind = 'policy')", name="default_version"),
    CheckConstraint("boundary IS NULL OR kind IN ('user', 'role')", name="boundary"),
    Index(None, "account", "kind", "folded", unique=True),
    Index(None, "boundary", sqlite_where=text("boundary IS NOT NULL")),
)

identity_tags = Table(
    "identity_tags",
    metadata,
    Column("unique_id", String, primary_key=True),
    Column("tag_key", String, primary_key=True),
    Column("tag_value", String, nullable=False),
    ForeignKeyConstraint(["unique_id"], ["identities.unique_id"], ondelete="CASCADE"),
)

inline_policies = Table(
    "inline_policies",
    metadata,
    Column("unique_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("document", Text, nullable=False),
    ForeignKeyConstraint(["unique_id"], ["identities.unique_id"], ondelete="CASCADE"),
)

# By ARN: AWS's own managed policies have no row.
attached_policies = Table(
    "attached_policies",
    metadata,
    Column("unique_id", String, primary_key=True),
    Column("policy_arn", String, primary_key=True),
    ForeignKeyConstraint(["unique_id"], ["identities.unique_id"], ondelete="CASCADE"),
    Index(None, "policy_arn"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("unique_id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created", Double, nullable=False),
    ForeignKeyConstraint(["unique_id"], ["identities.unique_id"], ondelete="CASCADE"),
    CheckConstraint("version >= 1", name="version"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("user_id", String, primary_key=True),
    Column("group_id", String, primary_key=True),
    ForeignKeyConstraint(["user_id"], ["identities.unique_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(
        ["group_id"],
        ["identities.unique_id"],
        name="fk_group_members_groups",
        ondelete="CASCADE",
    ),
    Index(None, "group_id"),
)

# The secret is sealed by the HSM for (region, access_key_id): only there it opens. Without a
# `user_id` the access key is the root user's.
access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key_id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("created", Double, nullable=False),
    Column("user_id", String),
    Column("active", Boolean, nullable=False),
    ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
    ForeignKeyConstraint(["user_id"], ["identities.unique_id"], ondelete="CASCADE"),
    CheckConstraint("length(access_key_id) > 0", name="access_key_id"),
    CheckConstraint("length(secret) > 0", name="secret"),
    Index(None, "account"),
    Index(None, "user_id"),
)

# An organisation's root and organisational units, and the accounts in it: a node's parent is the
# root or a unit. A node's organisation is that of its root.
organizations = Table(
    "organizations",
    metadata,
    Column("organization_id", String, primary_key=True),
    Column("management_account", String, nullable=False),
    Column("root_id", String, nullable=False),
    Column("created", Double, nullable=False),
    Index(None, "management_account", unique=True),
    Index(None, "root_id", unique=True),
)

organization_nodes = Table(
    "organization_nodes",
    metadata,
    Column("node_id", String, primary_key=True),
    Column("organization_id", String, nullable=False),
    Column("parent_id", String),
    Column("name", String, nullable=False),
    ForeignKeyConstraint(
        ["organization_id"], ["organizations.organization_id"], ondelete="CASCADE"
    ),
    ForeignKeyConstraint(["parent_id"], ["organization_nodes.node_id"]),
    Index(None, "parent_id"),
)

organization_policies = Table(
    "organization_policies",
    metadata,
    Column("policy_id", String, primary_key=True),
    Column("organization_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("document", Text, nullable=False),
    ForeignKeyConstraint(
        ["organization_id"], ["organizations.organization_id"], ondelete="CASCADE"
    ),
    CheckConstraint("kind IN ('SERVICE_CONTROL_POLICY', 'RESOURCE_CONTROL_POLICY')", name="kind"),
    Index(None, "organization_id", "kind", "name", unique=True),
)

# Also of AWS's own p-FullAWSAccess, which has no row.
organization_attachments = Table(
    "organization_attachments",
    metadata,
    Column("node_id", String, primary_key=True),
    Column("policy_id", String, primary_key=True),
    ForeignKeyConstraint(["node_id"], ["organization_nodes.node_id"], ondelete="CASCADE"),
    Index(None, "policy_id"),
)

vpc_endpoints = Table(
    "vpc_endpoints",
    metadata,
    Column("vpce", String, primary_key=True),
    Column("policy", Text, nullable=False),
)

# Alembic's own table, so that a new database is stamped, and a start checks it, without Alembic.
alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
