"""Organisations: their units, accounts and policies; and the policies of VPC endpoints.

Source: AWS Organizations User Guide, "Service control policies", "Resource control policies". Error
codes are those of the Organizations API.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Connection

from clavero.iam import documents
from clavero.iam.documents import Kind
from clavero.identity import checks
from clavero.identity.registry import Registry
from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.store import identities, organizations
from clavero.store.errors import StoreConflict
from clavero.store.organizations import NodeRow, OrganizationRow, PolicyRow

SERVICE_CONTROL: Final = "SERVICE_CONTROL_POLICY"
RESOURCE_CONTROL: Final = "RESOURCE_CONTROL_POLICY"
KINDS: Final = {SERVICE_CONTROL: Kind.SERVICE_CONTROL, RESOURCE_CONTROL: Kind.RESOURCE_CONTROL}
# AWS's own service control policy, which every new root, unit and account has. Resource control
# policies have RCPFullAWSAccess, which nobody can detach.
FULL_ACCESS: Final = "p-FullAWSAccess"
FULL_ACCESS_DOCUMENT: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
# AWS Organizations User Guide, "Quotas".
PER_NODE: Final = 5
_NAME: Final = re.compile(r"[\s\S]{1,128}")
_VPCE: Final = re.compile(r"vpce-[0-9a-f]{8,17}")


class Organizations:
    """Organisations: `kms.identities.organizations`. Several are for tests; AWS's accounts see one.

    Nodes are named by their ids: the root's (`r-...`), a unit's (`ou-...`), an account's.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def create(self, management_account: str) -> OrganizationRow:
        """CreateOrganization, with all features. AlreadyInOrganizationException."""
        checks.checked_account(management_account)
        registry = self._registry
        root_id = f"r-{registry.random_text(4)}"
        row = OrganizationRow(
            f"o-{registry.random_text(10)}", management_account, root_id, registry.now()
        )
        with registry.write_guardrails() as tx:
            if organizations.node(tx, management_account) is not None:
                raise _refusal("AlreadyInOrganizationException", "The account is in one already.")
            organizations.add(tx, row)
            self._add_node(tx, NodeRow(root_id, row.organization_id, None, "Root"))
            self._add_account(tx, row, management_account, root_id)
        return row

    def all(self) -> list[OrganizationRow]:
        """Every organisation, the oldest first."""
        with self._registry.store.read() as tx:
            return organizations.every(tx)

    def delete(self, organization_id: str) -> None:
        """DeleteOrganization: OrganizationNotEmptyException while it has members."""
        with self._registry.write_guardrails() as tx:
            row = _organization(tx, organization_id)
            own = {row.root_id, row.management_account}
            if any(node.node_id not in own for node in organizations.nodes(tx, organization_id)):
                raise _refusal(
                    "OrganizationNotEmptyException",
                    "To delete an organization you must first remove all member accounts and "
                    "organizational units.",
                )
            organizations.remove_node(tx, row.management_account)
            organizations.remove(tx, organization_id)

    def nodes(self, organization_id: str) -> list[NodeRow]:
        """Root, units and accounts, in the order of their ids."""
        with self._registry.store.read() as tx:
            _organization(tx, organization_id)
            return organizations.nodes(tx, organization_id)

    def create_unit(self, parent_id: str, name: str) -> NodeRow:
        """CreateOrganizationalUnit under a root or unit. ParentNotFoundException."""
        if _NAME.fullmatch(name) is None:
            raise _refusal("InvalidInputException", "A unit's name has 1 to 128 characters.")
        with self._registry.write_guardrails() as tx:
            parent = _parent(tx, parent_id)
            there = organizations.nodes(tx, parent.organization_id)
            if any(each.parent_id == parent_id and each.name == name for each in there):
                raise _refusal(
                    "DuplicateOrganizationalUnitException",
                    "An OU with the same name already exists.",
                )
            root = next(each for each in there if each.parent_id is None)
            unit_id = f"ou-{root.node_id[2:]}-{self._registry.random_text(8)}"
            row = NodeRow(unit_id, parent.organization_id, parent_id, name)
            self._add_node(tx, row)
        return row

    def delete_unit(self, unit_id: str) -> None:
        """DeleteOrganizationalUnit: OrganizationalUnitNotEmptyException where one is not empty."""
        with self._registry.write_guardrails() as tx:
            row = organizations.node(tx, unit_id)
            if row is None or not unit_id.startswith("ou-"):
                raise _refusal(
                    "OrganizationalUnitNotFoundException",
                    "You specified an organizational unit that doesn't exist.",
                )
            there = organizations.nodes(tx, row.organization_id)
            if any(each.parent_id == unit_id for each in there):
                raise _refusal(
                    "OrganizationalUnitNotEmptyException",
                    "The specified OU is not empty. Move all accounts to another root or to other "
                    "OUs, remove all child OUs, and try the operation again.",
                )
            organizations.remove_node(tx, unit_id)

    def add_account(
        self, organization_id: str, account: str, parent_id: str | None = None
    ) -> NodeRow:
        """Have an account in the organisation, under the root or a unit.

        The account is made if it is not there. AlreadyInOrganizationException.
        """
        checks.checked_account(account)
        with self._registry.write_guardrails() as tx:
            row = _organization(tx, organization_id)
            return self._add_account(tx, row, account, parent_id or row.root_id)

    def move_account(self, account: str, parent_id: str) -> None:
        """MoveAccount to a root or unit of the same organisation."""
        with self._registry.write_guardrails() as tx:
            row, parent = _account(tx, account), _parent(tx, parent_id)
            if parent.organization_id != row.organization_id:
                raise _refusal(
                    "DestinationParentNotFoundException",
                    "We can't find the destination container (a root or OU) with the ParentId that "
                    "you specified.",
                )
            organizations.move_node(tx, account, parent_id)

    def remove_account(self, account: str) -> None:
        """RemoveAccountFromOrganization."""
        with self._registry.write_guardrails() as tx:
            row = _account(tx, account)
            if _organization(tx, row.organization_id).management_account == account:
                raise _refusal(
                    "MasterCannotLeaveOrganizationException",
                    "You can't remove a management account from an organization.",
                )
            organizations.remove_node(tx, account)

    # --- policies --------------------------------------------------------------------------------

    def create_policy(self, organization_id: str, kind: str, name: str, document: str) -> PolicyRow:
        """CreatePolicy: `kind` is SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY.

        MalformedPolicyDocumentException, DuplicatePolicyException.
        """
        _check_document(kind, document)
        policy_id = f"p-{self._registry.random_text(10)}"
        row = PolicyRow(policy_id, organization_id, kind, name, document)
        with self._registry.write_guardrails() as tx:
            _organization(tx, organization_id)
            _put(tx, row)
        return row

    def update_policy(self, organization_id: str, policy_id: str, document: str) -> PolicyRow:
        """UpdatePolicy's content. PolicyNotFoundException."""
        with self._registry.write_guardrails() as tx:
            before = _policy(tx, organization_id, policy_id)
            _check_document(before.kind, document)
            row = PolicyRow(policy_id, organization_id, before.kind, before.name, document)
            _put(tx, row)
        return row

    def delete_policy(self, organization_id: str, policy_id: str) -> None:
        """DeletePolicy: PolicyInUseException while it is attached."""
        with self._registry.write_guardrails() as tx:
            _policy(tx, organization_id, policy_id)
            if any(each == policy_id for _, each in organizations.attachments(tx, organization_id)):
                raise _refusal(
                    "PolicyInUseException",
                    "The policy is attached to one or more entities. You must detach it from all "
                    "roots, OUs, and accounts before performing this operation.",
                )
            organizations.remove_policy(tx, policy_id)

    def policies(self, organization_id: str) -> list[PolicyRow]:
        """ListPolicies, but for AWS's own."""
        with self._registry.store.read() as tx:
            _organization(tx, organization_id)
            return organizations.policies(tx, organization_id)

    def attach_policy(self, policy_id: str, node_id: str) -> None:
        """AttachPolicy to a root, unit or account. DuplicatePolicyAttachmentException."""
        with self._registry.write_guardrails() as tx:
            node = _target(tx, node_id)
            kind = _kind_of(tx, node.organization_id, policy_id)
            there = self._of_node(tx, node, kind)
            if policy_id in there:
                raise _refusal(
                    "DuplicatePolicyAttachmentException",
                    "The selected policy is already attached to the specified target.",
                )
            if len(there) >= PER_NODE:
                raise _refusal(
                    "ConstraintViolationException",
                    f"You have attached the maximum number of policies of this type: {PER_NODE}.",
                )
            organizations.attach(tx, node_id, policy_id)

    def detach_policy(self, policy_id: str, node_id: str) -> None:
        """DetachPolicy. ConstraintViolationException: the last service control policy stays."""
        with self._registry.write_guardrails() as tx:
            node = _target(tx, node_id)
            kind = _kind_of(tx, node.organization_id, policy_id)
            there = self._of_node(tx, node, kind)
            if policy_id not in there:
                raise _refusal(
                    "PolicyNotAttachedException",
                    "The policy isn't attached to the specified target in the specified root.",
                )
            if kind == SERVICE_CONTROL and len(there) == 1:
                raise _refusal(
                    "ConstraintViolationException",
                    "You must have at least one SCP attached to every entity.",
                )
            organizations.detach(tx, node_id, policy_id)

    def attached(self, node_id: str) -> list[str]:
        """The ids of the policies that are attached to a node, sorted."""
        with self._registry.store.read() as tx:
            node = _target(tx, node_id)
            return [
                policy_id
                for each, policy_id in organizations.attachments(tx, node.organization_id)
                if each == node_id
            ]

    def _of_node(self, tx: Connection, node: NodeRow, kind: str) -> list[str]:
        return [
            policy_id
            for each, policy_id in organizations.attachments(tx, node.organization_id)
            if each == node.node_id and _kind_of(tx, node.organization_id, policy_id) == kind
        ]

    def _add_account(
        self, tx: Connection, row: OrganizationRow, account: str, parent_id: str
    ) -> NodeRow:
        parent = _parent(tx, parent_id)
        if parent.organization_id != row.organization_id:
            raise _refusal("ParentNotFoundException", "The parent is of another organization.")
        identities.ensure_account(tx, account, self._registry.now())
        made = NodeRow(account, row.organization_id, parent_id, account)
        self._add_node(tx, made)
        return made

    def _add_node(self, tx: Connection, row: NodeRow) -> None:
        try:
            organizations.add_node(tx, row)
        except StoreConflict:
            raise _refusal(
                "AlreadyInOrganizationException", "The account is in one already."
            ) from None
        organizations.attach(tx, row.node_id, FULL_ACCESS)


class Endpoints:
    """The policies of VPC endpoints, by which listeners are known: `kms.identities.endpoints`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def put_policy(self, vpce: str, document: str) -> None:
        """Set the policy of `vpce-...`: calls through a listener of that id need its leave too.

        MalformedPolicyDocument, InvalidInput.
        """
        if _VPCE.fullmatch(vpce) is None:
            raise iam_errors.invalid_input(
                f"{vpce[:32]!r} is no VPC endpoint's id: write vpce- and 8 to 17 hexadecimal digits"
            )
        checks.checked_document(document, Kind.ENDPOINT)
        with self._registry.write() as tx:
            organizations.put_endpoint_policy(tx, vpce, document)

    def policies(self) -> dict[str, str]:
        """The policies by VPC endpoint. One that has none lets everything through, as in AWS."""
        with self._registry.store.read() as tx:
            return organizations.endpoint_policies(tx)

    def delete_policy(self, vpce: str) -> None:
        """Forget a policy. NoSuchEntity."""
        with self._registry.write() as tx:
            if not organizations.remove_endpoint_policy(tx, vpce):
                raise iam_errors.no_such_entity(f"The VPC endpoint {vpce} has no policy.")


def _refusal(code: str, message: str) -> KMSError:
    return iam_errors.organization_error(code, message)


def _organization(tx: Connection, organization_id: str) -> OrganizationRow:
    for row in organizations.every(tx):
        if row.organization_id == organization_id:
            return row
    raise _refusal(
        "AWSOrganizationsNotInUseException", f"There is no organization {organization_id}."
    )


def _parent(tx: Connection, parent_id: str) -> NodeRow:
    row = organizations.node(tx, parent_id)
    if row is None or not parent_id.startswith(("r-", "ou-")):
        raise _refusal(
            "ParentNotFoundException",
            "We can't find a root or OU with the ParentId that you specified.",
        )
    return row


def _account(tx: Connection, account: str) -> NodeRow:
    row = organizations.node(tx, account)
    if row is None or row.node_id.startswith(("r-", "ou-")):
        raise _refusal("AccountNotFoundException", f"The account {account} is in no organization.")
    return row


def _target(tx: Connection, node_id: str) -> NodeRow:
    row = organizations.node(tx, node_id)
    if row is None:
        raise _refusal(
            "TargetNotFoundException",
            "We can't find a root, OU, or account with the TargetId that you specified.",
        )
    return row


def _policy(tx: Connection, organization_id: str, policy_id: str) -> PolicyRow:
    for row in organizations.policies(tx, organization_id):
        if row.policy_id == policy_id:
            return row
    raise _refusal(
        "PolicyNotFoundException", "We can't find a policy with the PolicyId that you specified."
    )


def _kind_of(tx: Connection, organization_id: str, policy_id: str) -> str:
    if policy_id == FULL_ACCESS:
        return SERVICE_CONTROL
    return _policy(tx, organization_id, policy_id).kind


def _put(tx: Connection, row: PolicyRow) -> None:
    try:
        organizations.put_policy(tx, row)
    except StoreConflict:
        raise _refusal(
            "DuplicatePolicyException", "A policy with the same name already exists."
        ) from None


def _check_document(kind: str, document: str) -> None:
    if kind not in KINDS:
        raise _refusal("InvalidInputException", f"{kind[:64]!r} is no type of policy.")
    try:
        documents.parse(document, KINDS[kind])
    except KMSError as error:
        raise _refusal("MalformedPolicyDocumentException", error.message) from None
