"""IAM's operations on users, groups, roles and policies: what each authorises, asks, and answers.

The managers of `clavero.identity` do the work and refuse what IAM refuses. An operation is about
one entity, whose ARN is what `iam:<operation>` is authorised on, whether or not it is there.
Source: Service Authorization Reference for IAM; IAM API Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from clavero.iam.decision import NamedResource
from clavero.identity.entities import Entities, Principals
from clavero.identity.identities import Identities
from clavero.model import arn, iam_errors
from clavero.model.errors import KMSError
from clavero.ops import forms
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext
from clavero.ops.registry import Handler, Need
from clavero.store.accounts import AccessKeyRow

Run: TypeAlias = "Callable[[Identities, Call], Response]"


# --- what is authorised --------------------------------------------------------------------------


def _manager(ids: Identities, kind: str) -> Entities:
    return {"User": ids.users, "Group": ids.groups, "Role": ids.roles}[kind]


def _name_of(call: Call) -> str | None:
    """The user that the call is about: the one that it names, or the calling one. None: root."""
    named: str | None = call.params.get("UserName")
    if named is not None:
        return named
    caller = call.principal
    if caller.is_root:
        return None
    if ":user/" not in caller.arn:
        raise KMSError(
            "ValidationError",
            "Must specify userName when calling with non-User credentials",
            http_status=400,
        )
    return caller.arn.rsplit("/", 1)[1]


def subject(kind: str, action: str) -> Callable[[OpsContext, Call], str]:
    """The ARN that an operation is authorised on."""

    def find(context: OpsContext, call: Call) -> str:
        account, params = call.principal.account, call.params
        prefix = f"arn:aws:iam::{account}:{kind.lower()}"
        if kind == "Policy":
            if "PolicyArn" in params:
                return str(params["PolicyArn"])
            return f"{prefix}{params.get('Path', '/')}{params.get('PolicyName', '')}"
        name = _name_of(call) if kind == "User" else params.get(f"{kind}Name")
        if name is None:
            return arn.root_arn(account)
        if action.startswith("Create") and action != "CreateAccessKey":
            return f"{prefix}{params.get('Path', '/')}{name}"
        try:
            return _manager(context.identities, kind).get(account, name).arn
        except KMSError:
            return f"{prefix}/{name}"  # it is not there, which only who may ask learns

    return find


def _list_of(kind: str) -> Callable[[OpsContext, Call], str]:
    return lambda _context, call: f"arn:aws:iam::{call.principal.account}:{kind.lower()}/"


def handler(name: str, find: Callable[[OpsContext, Call], str], run: Run) -> Handler:
    """An operation of IAM: `find` gives the ARN that it is authorised on, `run` its answer."""
    action = f"iam:{name}"

    def resolve(context: OpsContext, call: Call) -> tuple[()]:
        call.subject = find(context, call)
        return ()

    def needs(call: Call) -> Sequence[Need]:
        resource = NamedResource(call.subject, call.principal.account)
        return (Need(action, resource, f"on resource: {call.subject}"),)

    return Handler(
        name,
        lambda context, call: run(context.identities, call),
        resolve=resolve,
        action=action,
        needs=needs,
    )


# --- users, groups and roles alike ---------------------------------------------------------------


def _alike(kind: str, plural: str, write: Callable[..., dict[str, Any]]) -> list[Handler]:
    """The operations that each of them has, under its own name."""
    member = f"{kind}Name"

    def named(call: Call) -> tuple[str, str]:
        return call.principal.account, call.params[member]

    def entities(ids: Identities) -> Entities:
        return _manager(ids, kind)

    def all_of(ids: Identities, call: Call) -> Response:
        rows = entities(ids).all(call.principal.account, call.params.get("PathPrefix", "/"))
        return forms.page(call, plural, [write(row) for row in rows])

    def delete(ids: Identities, call: Call) -> Response:
        entities(ids).delete(*named(call))
        return {}

    def put(ids: Identities, call: Call) -> Response:
        params = call.params
        entities(ids).put_policy(*named(call), params["PolicyName"], params["PolicyDocument"])
        return {}

    def get(ids: Identities, call: Call) -> Response:
        name = call.params["PolicyName"]
        document = entities(ids).get_policy(*named(call), name)
        return {
            member: call.params[member],
            "PolicyName": name,
            "PolicyDocument": document,
        }

    def remove(ids: Identities, call: Call) -> Response:
        entities(ids).delete_policy(*named(call), call.params["PolicyName"])
        return {}

    def inline(ids: Identities, call: Call) -> Response:
        return forms.page(call, "PolicyNames", entities(ids).list_policies(*named(call)))

    def attach(ids: Identities, call: Call) -> Response:
        entities(ids).attach_policy(*named(call), call.params["PolicyArn"])
        return {}

    def detach(ids: Identities, call: Call) -> Response:
        entities(ids).detach_policy(*named(call), call.params["PolicyArn"])
        return {}

    def attached(ids: Identities, call: Call) -> Response:
        prefix = call.params.get("PathPrefix", "/")
        found = [
            each
            for each in entities(ids).list_attached_policies(*named(call))
            if ("/" + each.split(":policy/", 1)[1]).startswith(prefix)
        ]
        return forms.page(call, "AttachedPolicies", forms.attached(found))

    operations: dict[str, Run] = {
        f"Delete{kind}": delete,
        f"Put{kind}Policy": put,
        f"Get{kind}Policy": get,
        f"Delete{kind}Policy": remove,
        f"List{kind}Policies": inline,
        f"Attach{kind}Policy": attach,
        f"Detach{kind}Policy": detach,
        f"ListAttached{kind}Policies": attached,
    }
    made = [handler(name, subject(kind, name), run) for name, run in operations.items()]
    return [*made, handler(f"List{plural}", _list_of(kind), all_of)]


def _tagged(kind: str, find: Callable[[Identities], Principals]) -> list[Handler]:
    """The operations of users and roles that groups do not have: tags and boundaries."""
    member = f"{kind}Name"

    def named(call: Call) -> tuple[str, str]:
        return call.principal.account, call.params[member]

    def tag(ids: Identities, call: Call) -> Response:
        find(ids).tag(*named(call), forms.given_tags(call))
        return {}

    def untag(ids: Identities, call: Call) -> Response:
        find(ids).untag(*named(call), call.params["TagKeys"])
        return {}

    def tags(ids: Identities, call: Call) -> Response:
        return forms.page(call, "Tags", forms.tags_of(find(ids).tags(*named(call))))

    def put(ids: Identities, call: Call) -> Response:
        find(ids).put_boundary(*named(call), call.params["PermissionsBoundary"])
        return {}

    def delete(ids: Identities, call: Call) -> Response:
        find(ids).delete_boundary(*named(call))
        return {}

    operations: dict[str, Run] = {
        f"Tag{kind}": tag,
        f"Untag{kind}": untag,
        f"List{kind}Tags": tags,
        f"Put{kind}PermissionsBoundary": put,
        f"Delete{kind}PermissionsBoundary": delete,
    }
    return [handler(name, subject(kind, name), run) for name, run in operations.items()]


# --- users ---------------------------------------------------------------------------------------


def _create_user(ids: Identities, call: Call) -> Response:
    params, tags = call.params, forms.given_tags(call)
    row = ids.users.create(
        call.principal.account,
        params["UserName"],
        path=params.get("Path", "/"),
        permissions_boundary=params.get("PermissionsBoundary"),
        tags=tags,
    )
    return {"User": forms.user(row, tags)}


def _get_user(ids: Identities, call: Call) -> Response:
    account, name = call.principal.account, _name_of(call)
    if name is None:  # the root user asks about itself, which has no name
        return {"User": {"Path": "/", "UserId": account, "Arn": arn.root_arn(account)}}
    row = ids.users.get(account, name)
    return {"User": forms.user(row, ids.users.tags(account, name))}


def _update_user(ids: Identities, call: Call) -> Response:
    params = call.params
    ids.users.rename(
        call.principal.account,
        params["UserName"],
        new_name=params.get("NewUserName"),
        new_path=params.get("NewPath"),
    )
    return {}


def _groups_for_user(ids: Identities, call: Call) -> Response:
    rows = ids.users.groups(call.principal.account, call.params["UserName"])
    return forms.page(call, "Groups", [forms.entity("Group", row) for row in rows])


def _create_access_key(ids: Identities, call: Call) -> Response:
    account, name = call.principal.account, _name_of(call)
    if name is None:
        made = ids.accounts.create_access_key(account)
    else:
        made = ids.users.create_access_key(account, name)
    row = ids.accounts.access_key(made.access_key_id)
    assert row is not None
    entry = forms.access_key(row, name or account)
    return {"AccessKey": {**entry, "SecretAccessKey": made.secret_access_key}}


def _keys_of(ids: Identities, account: str, name: str | None) -> list[AccessKeyRow]:
    if name is not None:
        return ids.users.access_keys(account, name)
    return [row for row in ids.accounts.access_keys() if row.account == account]


def _list_access_keys(ids: Identities, call: Call) -> Response:
    account, name = call.principal.account, _name_of(call)
    rows = _keys_of(ids, account, name)
    return forms.page(call, "AccessKeyMetadata", [forms.access_key(row, name) for row in rows])


def _update_access_key(ids: Identities, call: Call) -> Response:
    account, name, params = call.principal.account, _name_of(call), call.params
    if name is None:
        raise iam_errors.invalid_input(
            "The status of an access key of the root user cannot be changed: delete it."
        )
    ids.users.update_access_key(account, name, params["AccessKeyId"], params["Status"])
    return {}


def _delete_access_key(ids: Identities, call: Call) -> Response:
    account, name, key = call.principal.account, _name_of(call), call.params["AccessKeyId"]
    if name is not None:
        ids.users.delete_access_key(account, name, key)
    elif any(row.access_key_id == key for row in _keys_of(ids, account, None)):
        ids.accounts.delete_access_key(key)
    else:
        raise iam_errors.access_key_not_found(key)
    return {}


# --- groups --------------------------------------------------------------------------------------


def _create_group(ids: Identities, call: Call) -> Response:
    params = call.params
    row = ids.groups.create(
        call.principal.account, params["GroupName"], path=params.get("Path", "/")
    )
    return {"Group": forms.entity("Group", row)}


def _get_group(ids: Identities, call: Call) -> Response:
    named = call.principal.account, call.params["GroupName"]
    users = [forms.user(row) for row in ids.groups.members(*named)]
    return {
        "Group": forms.entity("Group", ids.groups.get(*named)),
        **forms.page(call, "Users", users),
    }


def _update_group(ids: Identities, call: Call) -> Response:
    params = call.params
    ids.groups.rename(
        call.principal.account,
        params["GroupName"],
        new_name=params.get("NewGroupName"),
        new_path=params.get("NewPath"),
    )
    return {}


def _add_user(ids: Identities, call: Call) -> Response:
    params = call.params
    ids.groups.add_user(call.principal.account, params["GroupName"], params["UserName"])
    return {}


def _remove_user(ids: Identities, call: Call) -> Response:
    params = call.params
    ids.groups.remove_user(call.principal.account, params["GroupName"], params["UserName"])
    return {}


# --- roles ---------------------------------------------------------------------------------------


def _create_role(ids: Identities, call: Call) -> Response:
    params, tags = call.params, forms.given_tags(call)
    row = ids.roles.create(
        call.principal.account,
        params["RoleName"],
        params["AssumeRolePolicyDocument"],
        path=params.get("Path", "/"),
        description=params.get("Description", ""),
        max_session=params.get("MaxSessionDuration", 3600),
        permissions_boundary=params.get("PermissionsBoundary"),
        tags=tags,
    )
    return {"Role": forms.role(row, tags)}


def _get_role(ids: Identities, call: Call) -> Response:
    named = call.principal.account, call.params["RoleName"]
    return {"Role": forms.role(ids.roles.get(*named), ids.roles.tags(*named))}


def _update_role(ids: Identities, call: Call) -> Response:
    named = call.principal.account, call.params["RoleName"]
    ids.roles.update(
        *named,
        description=call.params.get("Description"),
        max_session=call.params.get("MaxSessionDuration"),
    )
    if call.operation.name == "UpdateRoleDescription":
        return {"Role": forms.role(ids.roles.get(*named))}
    return {}


def _update_trust(ids: Identities, call: Call) -> Response:
    params = call.params
    ids.roles.update_trust(call.principal.account, params["RoleName"], params["PolicyDocument"])
    return {}


_OF_USERS: Final[Mapping[str, Run]] = {
    "CreateUser": _create_user,
    "GetUser": _get_user,
    "UpdateUser": _update_user,
    "ListGroupsForUser": _groups_for_user,
    "CreateAccessKey": _create_access_key,
    "ListAccessKeys": _list_access_keys,
    "UpdateAccessKey": _update_access_key,
    "DeleteAccessKey": _delete_access_key,
}
_OF_GROUPS: Final[Mapping[str, Run]] = {
    "CreateGroup": _create_group,
    "GetGroup": _get_group,
    "UpdateGroup": _update_group,
    "AddUserToGroup": _add_user,
    "RemoveUserFromGroup": _remove_user,
}
_OF_ROLES: Final[Mapping[str, Run]] = {
    "CreateRole": _create_role,
    "GetRole": _get_role,
    "UpdateRole": _update_role,
    "UpdateRoleDescription": _update_role,
    "UpdateAssumeRolePolicy": _update_trust,
}
HANDLERS: Final = (
    *(
        handler(name, subject(kind, name), run)
        for kind, table in (
            ("User", _OF_USERS),
            ("Group", _OF_GROUPS),
            ("Role", _OF_ROLES),
        )
        for name, run in table.items()
    ),
    *_alike("User", "Users", forms.user),
    *_alike("Group", "Groups", lambda row: forms.entity("Group", row)),
    *_alike("Role", "Roles", forms.role),
    *_tagged("User", lambda ids: ids.users),
    *_tagged("Role", lambda ids: ids.roles),
)
