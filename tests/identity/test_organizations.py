"""Organisations as they are stored, and the policies of VPC endpoints."""

from __future__ import annotations

import json
import re

import pytest
from tests.identity.test_identities import ALLOW, A, B, fails

from clavero.identity.organizations import FULL_ACCESS, RESOURCE_CONTROL, SERVICE_CONTROL

DENY = json.dumps(
    {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}}
)


@pytest.fixture
def orgs(kms):
    return kms.identities.organizations


def test_an_organization_has_units_and_accounts(orgs):
    row = orgs.create(A)
    assert re.fullmatch("o-[a-z0-9]{10}", row.organization_id)
    fails("AlreadyInOrganizationException", orgs.create, A)
    unit = orgs.create_unit(row.root_id, "Prod")
    assert re.fullmatch(f"ou-{row.root_id[2:]}-[a-z0-9]{{8}}", unit.node_id)
    fails("DuplicateOrganizationalUnitException", orgs.create_unit, row.root_id, "Prod")
    fails("ParentNotFoundException", orgs.create_unit, A, "Under an account")
    orgs.add_account(row.organization_id, B)
    fails("AlreadyInOrganizationException", orgs.add_account, row.organization_id, B)
    orgs.move_account(B, unit.node_id)
    assert {node.node_id: node.parent_id for node in orgs.nodes(row.organization_id)} == {
        row.root_id: None,
        A: row.root_id,
        B: unit.node_id,
        unit.node_id: row.root_id,
    }
    fails("OrganizationalUnitNotEmptyException", orgs.delete_unit, unit.node_id)
    fails("MasterCannotLeaveOrganizationException", orgs.remove_account, A)
    fails("OrganizationNotEmptyException", orgs.delete, row.organization_id)
    orgs.remove_account(B)
    fails("AccountNotFoundException", orgs.remove_account, B)
    orgs.delete_unit(unit.node_id)
    orgs.delete(row.organization_id)
    assert orgs.all() == []
    orgs.create(A)


def test_policies_are_attached_to_roots_units_and_accounts(orgs):
    row = orgs.create(A)
    name = row.organization_id
    assert orgs.attached(row.root_id) == orgs.attached(A) == [FULL_ACCESS]
    fails(
        "MalformedPolicyDocumentException", orgs.create_policy, name, RESOURCE_CONTROL, "r", ALLOW
    )
    fails("MalformedPolicyDocumentException", orgs.create_policy, name, SERVICE_CONTROL, "s", DENY)
    service = orgs.create_policy(name, SERVICE_CONTROL, "s", ALLOW)
    resource = orgs.create_policy(name, RESOURCE_CONTROL, "r", DENY)
    fails("DuplicatePolicyException", orgs.create_policy, name, SERVICE_CONTROL, "s", ALLOW)
    fails("ConstraintViolationException", orgs.detach_policy, FULL_ACCESS, A)
    orgs.attach_policy(service.policy_id, A)
    fails("DuplicatePolicyAttachmentException", orgs.attach_policy, service.policy_id, A)
    orgs.detach_policy(FULL_ACCESS, A)
    orgs.attach_policy(resource.policy_id, row.root_id)
    assert orgs.attached(A) == [service.policy_id]
    fails("PolicyInUseException", orgs.delete_policy, name, service.policy_id)
    fails("PolicyNotAttachedException", orgs.detach_policy, resource.policy_id, A)
    orgs.detach_policy(resource.policy_id, row.root_id)
    orgs.delete_policy(name, resource.policy_id)
    fails("PolicyNotFoundException", orgs.update_policy, name, resource.policy_id, DENY)
    orgs.update_policy(name, service.policy_id, ALLOW + " ")
    assert [each.document for each in orgs.policies(name)] == [ALLOW + " "]
    for number in range(4):
        more = orgs.create_policy(name, SERVICE_CONTROL, f"s{number}", ALLOW)
        orgs.attach_policy(more.policy_id, A)
    last = orgs.create_policy(name, SERVICE_CONTROL, "last", ALLOW)
    fails("ConstraintViolationException", orgs.attach_policy, last.policy_id, A)


def test_vpc_endpoints_have_policies(kms):
    endpoints = kms.identities.endpoints
    open_policy = DENY.replace("Deny", "Allow")
    endpoints.put_policy("vpce-12345678", open_policy)
    endpoints.put_policy("vpce-12345678", DENY)
    assert endpoints.policies() == {"vpce-12345678": DENY}
    fails("InvalidInput", endpoints.put_policy, "vpce-x", DENY)
    fails("MalformedPolicyDocument", endpoints.put_policy, "vpce-12345678", ALLOW)
    endpoints.delete_policy("vpce-12345678")
    fails("NoSuchEntity", endpoints.delete_policy, "vpce-12345678")
