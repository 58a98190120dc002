"""The operations of IAM that are built: their parameters, and which of them change something.

Source: botocore's model of IAM (version 2010-05-08). Names, patterns and sizes of values are for
the managers of identities to check; here is what each parameter is, and whether it must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from clavero.model import iam_errors
from clavero.model.errors import KMSError

VERSION: Final = "2010-05-08"
SOURCE: Final = "iam.amazonaws.com"
MAX_ITEMS: Final = 1_000


class Parameter(NamedTuple):
    """One parameter. `kind` is text, number, truth, tags, or list."""

    name: str
    kind: str
    required: bool


class IamOperation:
    """One operation, as the pipeline wants operations to be."""

    __slots__ = ("changes", "name", "parameters")

    def __init__(self, name: str, parameters: tuple[Parameter, ...]) -> None:
        self.name: Final = name
        self.parameters: Final = MappingProxyType({each.name: each for each in parameters})
        self.changes: Final = not name.startswith(("Get", "List"))

    def __repr__(self) -> str:
        return f"<IamOperation {self.name}>"

    def is_exact(self, params: Any, /) -> bool:
        """Whether they were validated: then they are a dict."""
        return type(params) is dict

    def validated(self, params: Any, /) -> dict[str, Any]:
        """The parameters. ValidationError for what is missing or has no such form."""
        made: dict[str, Any] = dict(params)
        for parameter in self.parameters.values():
            if parameter.required and parameter.name not in made:
                raise _missing(parameter.name)
        most = made.get("MaxItems")
        if most is not None and not 1 <= most <= MAX_ITEMS:
            bound = (
                f"less than or equal to {MAX_ITEMS}"
                if most > MAX_ITEMS
                else "greater than or equal to 1"
            )
            raise iam_errors.constraint("maxItems", most, f"Member must have value {bound}")
        return made


def _missing(name: str) -> KMSError:
    member = name[0].lower() + name[1:]
    return KMSError(
        "ValidationError",
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
        "Member must not be null",
        http_status=400,
    )


_KINDS: Final = {"#": "number", "?": "truth", "+": "tags", "*": "list"}


def _operation(row: str) -> IamOperation:
    """A row is a name and its parameters: `!` must be there; `#`, `?`, `+`, `*` are kinds."""
    name, *given = row.split()
    parameters = []
    for text in given:
        bare = text.rstrip("!#?+*")
        signs = text[len(bare) :]
        kind = next((_KINDS[each] for each in signs if each in _KINDS), "text")
        parameters.append(Parameter(bare, kind, "!" in signs))
    return IamOperation(name, tuple(parameters))


_PAGE: Final = "Marker MaxItems#"
_ROWS: Final = f"""
CreateUser UserName! Path PermissionsBoundary Tags+
GetUser UserName
ListUsers PathPrefix {_PAGE}
UpdateUser UserName! NewPath NewUserName
DeleteUser UserName!
TagUser UserName! Tags!+
UntagUser UserName! TagKeys!*
ListUserTags UserName! {_PAGE}
PutUserPolicy UserName! PolicyName! PolicyDocument!
GetUserPolicy UserName! PolicyName!
DeleteUserPolicy UserName! PolicyName!
ListUserPolicies UserName! {_PAGE}
AttachUserPolicy UserName! PolicyArn!
DetachUserPolicy UserName! PolicyArn!
ListAttachedUserPolicies UserName! PathPrefix {_PAGE}
PutUserPermissionsBoundary UserName! PermissionsBoundary!
DeleteUserPermissionsBoundary UserName!
ListGroupsForUser UserName! {_PAGE}
CreateAccessKey UserName
ListAccessKeys UserName {_PAGE}
UpdateAccessKey UserName AccessKeyId! Status!
DeleteAccessKey UserName AccessKeyId!
CreateGroup GroupName! Path
GetGroup GroupName! {_PAGE}
ListGroups PathPrefix {_PAGE}
UpdateGroup GroupName! NewPath NewGroupName
DeleteGroup GroupName!
AddUserToGroup GroupName! UserName!
RemoveUserFromGroup GroupName! UserName!
PutGroupPolicy GroupName! PolicyName! PolicyDocument!
GetGroupPolicy GroupName! PolicyName!
DeleteGroupPolicy GroupName! PolicyName!
ListGroupPolicies GroupName! {_PAGE}
AttachGroupPolicy GroupName! PolicyArn!
DetachGroupPolicy GroupName! PolicyArn!
ListAttachedGroupPolicies GroupName! PathPrefix {_PAGE}
CreateRole RoleName! AssumeRolePolicyDocument! Path Description MaxSessionDuration# \
PermissionsBoundary Tags+
GetRole RoleName!
ListRoles PathPrefix {_PAGE}
UpdateRole RoleName! Description MaxSessionDuration#
UpdateRoleDescription RoleName! Description!
UpdateAssumeRolePolicy RoleName! PolicyDocument!
DeleteRole RoleName!
TagRole RoleName! Tags!+
UntagRole RoleName! TagKeys!*
ListRoleTags RoleName! {_PAGE}
PutRolePolicy RoleName! PolicyName! PolicyDocument!
GetRolePolicy RoleName! PolicyName!
DeleteRolePolicy RoleName! PolicyName!
ListRolePolicies RoleName! {_PAGE}
AttachRolePolicy RoleName! PolicyArn!
DetachRolePolicy RoleName! PolicyArn!
ListAttachedRolePolicies RoleName! PathPrefix {_PAGE}
PutRolePermissionsBoundary RoleName! PermissionsBoundary!
DeleteRolePermissionsBoundary RoleName!
CreatePolicy PolicyName! PolicyDocument! Path Description Tags+
GetPolicy PolicyArn!
ListPolicies Scope OnlyAttached? PathPrefix PolicyUsageFilter {_PAGE}
DeletePolicy PolicyArn!
CreatePolicyVersion PolicyArn! PolicyDocument! SetAsDefault?
GetPolicyVersion PolicyArn! VersionId!
ListPolicyVersions PolicyArn! {_PAGE}
SetDefaultPolicyVersion PolicyArn! VersionId!
DeletePolicyVersion PolicyArn! VersionId!
ListEntitiesForPolicy PolicyArn! EntityFilter PathPrefix PolicyUsageFilter {_PAGE}
TagPolicy PolicyArn! Tags!+
UntagPolicy PolicyArn! TagKeys!*
ListPolicyTags PolicyArn! {_PAGE}
"""
IAM_OPERATIONS: Final[Mapping[str, IamOperation]] = MappingProxyType(
    {each.name: each for each in map(_operation, _ROWS.strip().splitlines())}
)
