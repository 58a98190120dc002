"""Users, groups, roles, managed policies, organisations and the policies of VPC endpoints.

Access keys become those of users too. Theirs is made anew under its old name, since SQLite changes
a table's constraints only by a new table; its rows wait in a copy meanwhile.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. Every access key there is belongs to a root user."""
    _create_identities()
    _create_policies()
    op.execute("CREATE TABLE access_keys_before AS SELECT * FROM access_keys")
    op.drop_table("access_keys")
    _create_access_keys()
    op.execute("INSERT INTO access_keys SELECT *, NULL, 1 FROM access_keys_before")
    op.drop_table("access_keys_before")
    _create_organizations()


def _create_identities() -> None:
    op.create_table(
        "identities",
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("boundary", sa.String(), nullable=True),
        sa.Column("trust", sa.Text(), nullable=True),
        sa.Column("max_session", sa.Integer(), nullable=True),
        sa.Column("default_version", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("unique_id", name=op.f("pk_identities")),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.account"],
            name=op.f("fk_identities_accounts"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "(default_version IS NOT NULL) = (kind = 'policy')",
            name=op.f("ck_identities_default_version"),
        ),
        sa.CheckConstraint(
            "kind IN ('user', 'group', 'role', 'policy')", name=op.f("ck_identities_kind")
        ),
        sa.CheckConstraint(
            "boundary IS NULL OR kind IN ('user', 'role')", name=op.f("ck_identities_boundary")
        ),
        sa.CheckConstraint(
            "(trust IS NOT NULL) = (kind = 'role')", name=op.f("ck_identities_trust")
        ),
        sa.CheckConstraint(
            "(max_session IS NOT NULL) = (kind = 'role')", name=op.f("ck_identities_max_session")
        ),
    )
    op.create_index(
        op.f("ix_identities_account_kind_folded"),
        "identities",
        ["account", "kind", "folded"],
        unique=True,
    )
    op.create_index(
        op.f("ix_identities_boundary"),
        "identities",
        ["boundary"],
        sqlite_where=sa.text("boundary IS NOT NULL"),
    )
    op.create_table(
        "identity_tags",
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("tag_key", sa.String(), nullable=False),
        sa.Column("tag_value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", "tag_key", name=op.f("pk_identity_tags")),
        sa.ForeignKeyConstraint(
            ["unique_id"],
            ["identities.unique_id"],
            name=op.f("fk_identity_tags_identities"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "group_members",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_group_members")),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["identities.unique_id"],
            name=op.f("fk_group_members_groups"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["identities.unique_id"],
            name=op.f("fk_group_members_identities"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_group_members_group_id"), "group_members", ["group_id"])


def _create_policies() -> None:
    op.create_table(
        "inline_policies",
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", "name", name=op.f("pk_inline_policies")),
        sa.ForeignKeyConstraint(
            ["unique_id"],
            ["identities.unique_id"],
            name=op.f("fk_inline_policies_identities"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "attached_policies",
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("policy_arn", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", "policy_arn", name=op.f("pk_attached_policies")),
        sa.ForeignKeyConstraint(
            ["unique_id"],
            ["identities.unique_id"],
            name=op.f("fk_attached_policies_identities"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_attached_policies_policy_arn"), "attached_policies", ["policy_arn"])
    op.create_table(
        "policy_versions",
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", "version", name=op.f("pk_policy_versions")),
        sa.ForeignKeyConstraint(
            ["unique_id"],
            ["identities.unique_id"],
            name=op.f("fk_policy_versions_identities"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_policy_versions_version")),
    )


def _create_access_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id", name=op.f("pk_access_keys")),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.account"],
            name=op.f("fk_access_keys_accounts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["identities.unique_id"],
            name=op.f("fk_access_keys_identities"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("length(secret) > 0", name=op.f("ck_access_keys_secret")),
        sa.CheckConstraint("length(access_key_id) > 0", name=op.f("ck_access_keys_access_key_id")),
    )
    op.create_index(op.f("ix_access_keys_account"), "access_keys", ["account"])
    op.create_index(op.f("ix_access_keys_user_id"), "access_keys", ["user_id"])


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("management_account", sa.String(), nullable=False),
        sa.Column("root_id", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_organizations")),
    )
    op.create_index(
        op.f("ix_organizations_management_account"),
        "organizations",
        ["management_account"],
        unique=True,
    )
    op.create_index(op.f("ix_organizations_root_id"), "organizations", ["root_id"], unique=True)
    op.create_table(
        "organization_nodes",
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_organization_nodes")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.organization_id"],
            name=op.f("fk_organization_nodes_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["organization_nodes.node_id"],
            name=op.f("fk_organization_nodes_organization_nodes"),
        ),
    )
    op.create_index(op.f("ix_organization_nodes_parent_id"), "organization_nodes", ["parent_id"])
    op.create_table(
        "organization_policies",
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", name=op.f("pk_organization_policies")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.organization_id"],
            name=op.f("fk_organization_policies_organizations"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "kind IN ('SERVICE_CONTROL_POLICY', 'RESOURCE_CONTROL_POLICY')",
            name=op.f("ck_organization_policies_kind"),
        ),
    )
    op.create_index(
        op.f("ix_organization_policies_organization_id_kind_name"),
        "organization_policies",
        ["organization_id", "kind", "name"],
        unique=True,
    )
    op.create_table(
        "organization_attachments",
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "policy_id", name=op.f("pk_organization_attachments")),
        sa.ForeignKeyConstraint(
            ["node_id"],
            ["organization_nodes.node_id"],
            name=op.f("fk_organization_attachments_organization_nodes"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        op.f("ix_organization_attachments_policy_id"), "organization_attachments", ["policy_id"]
    )
    op.create_table(
        "vpc_endpoints",
        sa.Column("vpce", sa.String(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("vpce", name=op.f("pk_vpc_endpoints")),
    )
