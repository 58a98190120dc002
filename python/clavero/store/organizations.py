"""Organisations, their units, accounts and policies; and the policies of VPC endpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import (
    organization_attachments,
    organization_nodes,
    organization_policies,
    organizations,
    vpc_endpoints,
)


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organisation. `root_id` names the node that all accounts and units are under."""

    organization_id: str
    management_account: str
    root_id: str
    created: float


@dataclass(frozen=True, slots=True)
class NodeRow:
    """The root (without a parent), an organisational unit, or an account."""

    node_id: str
    organization_id: str
    parent_id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy: `kind` is SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY."""

    policy_id: str
    organization_id: str
    kind: str
    name: str
    document: str


def every(tx: Connection) -> list[OrganizationRow]:
    """Return the organisations, the oldest first."""
    columns = organizations.c
    found = tx.execute(
        select(
            columns.organization_id, columns.management_account, columns.root_id, columns.created
        ).order_by(columns.created, columns.organization_id)
    )
    return [OrganizationRow(*row) for row in found]


def add(tx: Connection, row: OrganizationRow) -> None:
    """Store a new organisation. StoreConflict: the account manages another one."""
    try:
        tx.execute(insert(organizations), asdict(row))
    except IntegrityError as error:
        raise StoreConflict(
            f"The account {row.management_account} manages an organization already."
        ) from error


def remove(tx: Connection, organization_id: str) -> None:
    """Delete an organisation. Its nodes but for the root must be gone."""
    where = organization_nodes.c.organization_id == organization_id
    tx.execute(delete(organization_nodes).where(where))
    tx.execute(delete(organizations).where(organizations.c.organization_id == organization_id))


def node(tx: Connection, node_id: str) -> NodeRow | None:
    """Return the node, or None."""
    columns = organization_nodes.c
    row = tx.execute(
        select(columns.node_id, columns.organization_id, columns.parent_id, columns.name).where(
            columns.node_id == node_id
        )
    ).first()
    return None if row is None else NodeRow(*row)


def nodes(tx: Connection, organization_id: str) -> list[NodeRow]:
    """Return the nodes of an organisation, in the order of their ids."""
    columns = organization_nodes.c
    found = tx.execute(
        select(columns.node_id, columns.organization_id, columns.parent_id, columns.name)
        .where(columns.organization_id == organization_id)
        .order_by(columns.node_id)
    )
    return [NodeRow(*row) for row in found]


def add_node(tx: Connection, row: NodeRow) -> None:
    """Store a new node. StoreConflict: its id is taken: an account is in one place only."""
    try:
        tx.execute(insert(organization_nodes), asdict(row))
    except IntegrityError as error:
        raise StoreConflict(f"{row.node_id} is in an organization already.") from error


def move_node(tx: Connection, node_id: str, parent_id: str) -> None:
    """Put a node under another parent."""
    tx.execute(
        update(organization_nodes)
        .where(organization_nodes.c.node_id == node_id)
        .values(parent_id=parent_id)
    )


def remove_node(tx: Connection, node_id: str) -> None:
    """Delete a node that has no children."""
    tx.execute(delete(organization_nodes).where(organization_nodes.c.node_id == node_id))


def policies(tx: Connection, organization_id: str) -> list[PolicyRow]:
    """Return the policies of an organisation, in the order of their names."""
    columns = organization_policies.c
    found = tx.execute(
        select(
            columns.policy_id,
            columns.organization_id,
            columns.kind,
            columns.name,
            columns.document,
        )
        .where(columns.organization_id == organization_id)
        .order_by(columns.kind, columns.name)
    )
    return [PolicyRow(*row) for row in found]


def put_policy(tx: Connection, row: PolicyRow) -> None:
    """Store a policy, in place of the one of that id. StoreConflict: its name is taken."""
    where = organization_policies.c.policy_id == row.policy_id
    try:
        changed = tx.execute(update(organization_policies).where(where).values(**asdict(row)))
        if not changed.rowcount:
            tx.execute(insert(organization_policies), asdict(row))
    except IntegrityError as error:
        raise StoreConflict(f"A policy named {row.name} exists already.") from error


def remove_policy(tx: Connection, policy_id: str) -> bool:
    """Delete a policy; False when there was none."""
    where = organization_policies.c.policy_id == policy_id
    return tx.execute(delete(organization_policies).where(where)).rowcount == 1


def attachments(tx: Connection, organization_id: str) -> list[tuple[str, str]]:
    """Return which policy is attached to which node: (node, policy)."""
    columns = organization_attachments.c
    ids = select(organization_nodes.c.node_id).where(
        organization_nodes.c.organization_id == organization_id
    )
    found = tx.execute(
        select(columns.node_id, columns.policy_id)
        .where(columns.node_id.in_(ids))
        .order_by(columns.node_id, columns.policy_id)
    )
    return [(row.node_id, row.policy_id) for row in found]


def attach(tx: Connection, node_id: str, policy_id: str) -> None:
    """Attach a policy. StoreConflict: it is attached there, or there is no such node."""
    try:
        tx.execute(insert(organization_attachments), {"node_id": node_id, "policy_id": policy_id})
    except IntegrityError as error:
        raise StoreConflict(f"{policy_id} is attached to {node_id} already.") from error


def detach(tx: Connection, node_id: str, policy_id: str) -> bool:
    """Detach a policy; False when it was not attached."""
    columns = organization_attachments.c
    where = (columns.node_id == node_id, columns.policy_id == policy_id)
    return tx.execute(delete(organization_attachments).where(*where)).rowcount == 1


# --- VPC endpoints -------------------------------------------------------------------------------


def endpoint_policies(tx: Connection) -> dict[str, str]:
    """Return the policies of VPC endpoints, by the endpoints' ids."""
    found = tx.execute(
        select(vpc_endpoints.c.vpce, vpc_endpoints.c.policy).order_by(vpc_endpoints.c.vpce)
    )
    return {row.vpce: row.policy for row in found}


def put_endpoint_policy(tx: Connection, vpce: str, policy: str) -> None:
    """Set the policy of a VPC endpoint."""
    remove_endpoint_policy(tx, vpce)
    tx.execute(insert(vpc_endpoints), {"vpce": vpce, "policy": policy})


def remove_endpoint_policy(tx: Connection, vpce: str) -> bool:
    """Forget the policy of a VPC endpoint; False when it had none."""
    return tx.execute(delete(vpc_endpoints).where(vpc_endpoints.c.vpce == vpce)).rowcount == 1
