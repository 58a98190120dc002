"""IAM's operations on managed policies: an account's own, and those of AWS that are known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clavero.identity.identities import Identities
from clavero.identity.managed import AWS_POLICIES
from clavero.model import iam_errors
from clavero.ops import forms
from clavero.ops.call import Call, Response
from clavero.ops.entities import Run, handler, subject
from clavero.store.identities import IdentityRow


def _create_policy(ids: Identities, call: Call) -> Response:
    params, tags = call.params, forms.given_tags(call)
    row = ids.policies.create(
        call.principal.account,
        params["PolicyName"],
        params["PolicyDocument"],
        path=params.get("Path", "/"),
        description=params.get("Description", ""),
        tags=tags,
    )
    return {"Policy": forms.policy(ids, call.principal.account, row, tags)}


def _own_policy(call: Call) -> str:
    """The ARN of a policy of the caller's account, or of AWS. Others' do not exist for it."""
    policy_arn: str = call.params["PolicyArn"]
    if policy_arn.count(":") >= 5 and policy_arn.split(":")[4] not in {
        call.principal.account, "aws",
    }:  # fmt: skip
        raise iam_errors.policy_not_found(policy_arn)
    return policy_arn


def _get_policy(ids: Identities, call: Call) -> Response:
    policy_arn = _own_policy(call)
    row = ids.policies.get(policy_arn)
    tags = {} if row.account == "aws" else ids.policies.tags(policy_arn)
    return {"Policy": forms.policy(ids, call.principal.account, row, tags)}


def _list_policies(ids: Identities, call: Call) -> Response:
    params, scope = call.params, call.params.get("Scope", "All")
    if scope not in {"All", "AWS", "Local"}:
        raise iam_errors.constraint(
            "scope", scope, "Member must satisfy enum value set: [All, AWS, Local]"
        )
    prefix = params.get("PathPrefix", "/")
    found: list[IdentityRow] = []
    if scope != "AWS":
        found += ids.policies.all(call.principal.account, prefix)
    if scope != "Local":
        found += [row for row in map(ids.policies.get, AWS_POLICIES) if row.path.startswith(prefix)]
    written = [forms.policy(ids, call.principal.account, row) for row in found]
    if params.get("OnlyAttached"):
        written = [each for each in written if each["AttachmentCount"]]
    return forms.page(call, "Policies", written)


def _delete_policy(ids: Identities, call: Call) -> Response:
    ids.policies.delete(_own_policy(call))
    return {}


def _create_version(ids: Identities, call: Call) -> Response:
    params, default = call.params, call.params.get("SetAsDefault", False)
    made = ids.policies.create_version(
        _own_policy(call), params["PolicyDocument"], set_as_default=default
    )
    return {"PolicyVersion": forms.version(made, made.version if default else None)}


def _get_version(ids: Identities, call: Call) -> Response:
    policy_arn = _own_policy(call)
    row = ids.policies.version(policy_arn, call.params["VersionId"])
    default = ids.policies.get(policy_arn).default_version
    return {"PolicyVersion": {"Document": row.document, **forms.version(row, default)}}


def _list_versions(ids: Identities, call: Call) -> Response:
    policy_arn = _own_policy(call)
    default = ids.policies.get(policy_arn).default_version
    found = [forms.version(row, default) for row in ids.policies.versions(policy_arn)]
    return forms.page(call, "Versions", found)


def _set_default(ids: Identities, call: Call) -> Response:
    ids.policies.set_default_version(_own_policy(call), call.params["VersionId"])
    return {}


def _delete_version(ids: Identities, call: Call) -> Response:
    ids.policies.delete_version(_own_policy(call), call.params["VersionId"])
    return {}


def _entities_for_policy(ids: Identities, call: Call) -> Response:
    params, policy_arn = call.params, _own_policy(call)
    usage = params.get("PolicyUsageFilter")
    rows: list[IdentityRow] = []
    if usage != "PermissionsBoundary":
        rows += ids.policies.attached_to(policy_arn)
    if usage != "PermissionsPolicy":
        rows += ids.policies.bounds(policy_arn)
    # A policy of AWS may be attached in every account: each sees its own only.
    own = [row for row in rows if row.account == call.principal.account]
    wanted, prefix = params.get("EntityFilter"), params.get("PathPrefix", "/")
    answer: Response = {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": []}
    for row in dict.fromkeys(own):
        kind = row.kind.capitalize()
        if wanted in {None, kind} and row.path.startswith(prefix):
            answer[f"Policy{kind}s"].append({f"{kind}Name": row.name, f"{kind}Id": row.unique_id})
    return {**answer, "IsTruncated": False}


def _tag_policy(ids: Identities, call: Call) -> Response:
    ids.policies.tag(_own_policy(call), forms.given_tags(call))
    return {}


def _untag_policy(ids: Identities, call: Call) -> Response:
    ids.policies.untag(_own_policy(call), call.params["TagKeys"])
    return {}


def _policy_tags(ids: Identities, call: Call) -> Response:
    return forms.page(call, "Tags", forms.tags_of(ids.policies.tags(_own_policy(call))))


_OF_POLICIES: Final[Mapping[str, Run]] = {
    "CreatePolicy": _create_policy,
    "GetPolicy": _get_policy,
    "ListPolicies": _list_policies,
    "DeletePolicy": _delete_policy,
    "CreatePolicyVersion": _create_version,
    "GetPolicyVersion": _get_version,
    "ListPolicyVersions": _list_versions,
    "SetDefaultPolicyVersion": _set_default,
    "DeletePolicyVersion": _delete_version,
    "ListEntitiesForPolicy": _entities_for_policy,
    "TagPolicy": _tag_policy,
    "UntagPolicy": _untag_policy,
    "ListPolicyTags": _policy_tags,
}
HANDLERS: Final = tuple(
    handler(name, subject("Policy", name), run) for name, run in _OF_POLICIES.items()
)
