"""What organisations say of their accounts: where each is, and the policies on the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection

from clavero.identity.organizations import FULL_ACCESS, FULL_ACCESS_DOCUMENT, SERVICE_CONTROL
from clavero.store import organizations
from clavero.store.organizations import NodeRow, OrganizationRow

Named: TypeAlias = tuple[str, str]


class Placed(NamedTuple):
    """An account in an organisation. Policies are (name, document).

    `path` is as aws:PrincipalOrgPaths has it; `scps` are the levels of service control policies
    from the root down to the account, `rcps` the resource control policies of all levels. The
    account that `manages` the organisation is not limited by service control policies.
    """

    organization_id: str
    path: str
    manages: bool
    scps: tuple[tuple[Named, ...], ...]
    rcps: tuple[Named, ...]


# By account.
Guardrails: TypeAlias = "Mapping[str, Placed]"


def load(tx: Connection) -> Guardrails:
    """All of them: organisations are few, and small."""
    found: dict[str, Placed] = {}
    for row in organizations.every(tx):
        found.update(_of(tx, row))
    return found


def _of(tx: Connection, row: OrganizationRow) -> dict[str, Placed]:
    nodes = {node.node_id: node for node in organizations.nodes(tx, row.organization_id)}
    service, resource = _attached(tx, row.organization_id)
    placed: dict[str, Placed] = {}
    for node in nodes.values():
        if not node.node_id.isdigit():
            continue
        way = _way(nodes, node)
        containers = "".join(f"{each}/" for each in way[:-1])
        placed[node.node_id] = Placed(
            row.organization_id,
            f"{row.organization_id}/{containers}",
            node.node_id == row.management_account,
            tuple(tuple(service.get(each, ())) for each in way),
            tuple(policy for each in way for policy in resource.get(each, ())),
        )
    return placed


def _way(nodes: Mapping[str, NodeRow], node: NodeRow) -> list[str]:
    """The ids from the root down to a node."""
    way = [node.node_id]
    while node.parent_id is not None:
        node = nodes[node.parent_id]
        way.append(node.node_id)
    return way[::-1]


def _attached(
    tx: Connection, organization_id: str
) -> tuple[dict[str, list[Named]], dict[str, list[Named]]]:
    policies = {each.policy_id: each for each in organizations.policies(tx, organization_id)}
    service: dict[str, list[Named]] = {}
    resource: dict[str, list[Named]] = {}
    for node_id, policy_id in organizations.attachments(tx, organization_id):
        if policy_id == FULL_ACCESS:
            service.setdefault(node_id, []).append(("FullAWSAccess", FULL_ACCESS_DOCUMENT))
            continue
        policy = policies[policy_id]
        level = service if policy.kind == SERVICE_CONTROL else resource
        level.setdefault(node_id, []).append((policy.name, policy.document))
    return service, resource
