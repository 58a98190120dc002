"""STS: AssumeRole, GetSessionToken, GetFederationToken. Sessions are sealed tokens; none is stored.

Source: AWS STS API Reference (version 2011-06-15); IAM User Guide, "Roles terms and concepts" (role
chaining), "Pass session tags in AWS STS", "Monitor and control actions taken with assumed roles".
No device for multi-factor authentication is stored, so that SerialNumber and TokenCode are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clavero.iam.compile import compile_stored
from clavero.iam.decision import NamedResource, TrustedRole
from clavero.iam.documents import Kind
from clavero.iam.principals import Principal, Who
from clavero.identity import checks, sessions
from clavero.identity.managed import document_of
from clavero.identity.sessions import Session
from clavero.model import iam_errors
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, timestamp
from clavero.ops.registry import Handler, Need
from clavero.store import identities
from clavero.store.identities import IdentityRow

VERSION: Final = "2011-06-15"
MIN_SECONDS: Final = 900
MAX_TOKEN_SECONDS: Final = 129_600
DEFAULT_TOKEN_SECONDS: Final = 43_200
# Of the root user's sessions, and of a role's that another role assumed.
ONE_HOUR: Final = 3600
# What a token holds: it goes into a header of every request.
MAX_CLAIMS: Final = 4096
# Characters of the session policy, and of all that is packed.
MAX_POLICY: Final = 2048
_ROLE_ARN: Final = re.compile(r"arn:aws:iam::([0-9]{12}):role(/(?:[\x21-\x7e]*/)?)([\w+=,.@-]+)")
_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


class StsOperation:
    """An operation of STS: `parameters` are its members, each with its kind.

    Kinds: text, number, list (of texts), tags (of TagKey and TagValue), arns (of policies).
    """

    def __init__(self, name: str, required: Sequence[str], **parameters: str) -> None:
        self.name: Final = name
        self.parameters: Final[Mapping[str, str]] = parameters
        self._required = required

    def is_exact(self, _params: Any, /) -> bool:
        """Never: a form's parameters are texts until they are read."""
        return False

    def validated(self, params: Any, /) -> dict[str, Any]:
        """The parameters, whose types are right; ValidationError for what is missing."""
        found = dict(params)
        for name in self._required:
            if name not in found:
                raise iam_errors.constraint(_member(name), "", "Member must not be null")
        return found


ASSUME_ROLE: Final = StsOperation(
    "AssumeRole",
    ("RoleArn", "RoleSessionName"),
    RoleArn="text",
    RoleSessionName="text",
    PolicyArns="arns",
    Policy="text",
    DurationSeconds="number",
    Tags="tags",
    TransitiveTagKeys="list",
    ExternalId="text",
    SerialNumber="text",
    TokenCode="text",
    SourceIdentity="text",
)
GET_SESSION_TOKEN: Final = StsOperation(
    "GetSessionToken", (), DurationSeconds="number", SerialNumber="text", TokenCode="text"
)
GET_FEDERATION_TOKEN: Final = StsOperation(
    "GetFederationToken",
    ("Name",),
    Name="text",
    Policy="text",
    PolicyArns="arns",
    DurationSeconds="number",
    Tags="tags",
)
OPERATIONS: Final = {
    each.name: each for each in (ASSUME_ROLE, GET_SESSION_TOKEN, GET_FEDERATION_TOKEN)
}


@dataclass(frozen=True)
class Role(TrustedRole):
    """The role that a call would assume. Without a `row` there is none, which nobody is told."""

    row: IdentityRow | None
    tags: Mapping[str, str]


# --- AssumeRole ----------------------------------------------------------------------------------


def _role_of(context: OpsContext, call: Call) -> tuple[()]:
    """Find the role of RoleArn, and refuse what is refused whoever asks."""
    params = call.params
    named: str = params["RoleArn"]
    match = _ROLE_ARN.fullmatch(named)
    if match is None:
        raise iam_errors.constraint("roleArn", named, "Member must be the ARN of a role")
    _check_name("roleSessionName", params["RoleSessionName"])
    if "SourceIdentity" in params:
        _check_name("sourceIdentity", params["SourceIdentity"])
    external = params.get("ExternalId")
    if external is not None and _EXTERNAL_ID.fullmatch(external) is None:
        raise iam_errors.constraint(
            "externalId", external, "Member must satisfy regular expression pattern: "
            "[\\w+=,.@:\\/-]*"
        )  # fmt: skip
    if call.principal.is_root:
        raise iam_errors.access_denied("Roles may not be assumed by root accounts.")
    _check_tags(call)
    account, path, name = match.groups()
    with context.store.read() as tx:
        row = identities.get(tx, account, "role", name)
        if row is not None and (row.path, row.name) != (path, name):
            row = None
        tags = {} if row is None else identities.tags(tx, row.unique_id)
    trust = None if row is None else compile_stored(row.trust or "", Kind.TRUST, name)
    call.role = Role(named, account, trust, row, tags)
    call.resources = (named,)
    return ()


def _needs_to_assume(call: Call) -> Sequence[Need]:
    role = call.role
    assert isinstance(role, Role)
    actions = ["sts:AssumeRole"]
    session = _session_of(call.principal)
    if call.params.get("Tags") or (session is not None and session.transitive):
        actions.append("sts:TagSession")
    if "SourceIdentity" in call.params:
        actions.append("sts:SetSourceIdentity")
    return [Need(action, role, f"on resource: {role.arn}", told=True) for action in actions]


def assume_role(context: OpsContext, call: Call) -> Response:
    """AssumeRole."""
    params, role = call.params, call.role
    assert isinstance(role, Role)
    row = role.row
    assert row is not None  # else nobody is trusted
    _refuse_devices(call)
    before = _session_of(call.principal)
    chained = call.principal.who is Who.ROLE
    seconds = _seconds(call, checks.MAX_SESSION, ONE_HOUR)
    if chained and seconds > ONE_HOUR:
        raise iam_errors.sts_validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining"
        )
    if seconds > (row.max_session or ONE_HOUR):
        raise iam_errors.sts_validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    source = params.get("SourceIdentity", "")
    tags = {tag["TagKey"]: tag["TagValue"] for tag in params.get("Tags") or ()}
    transitive = list(params.get("TransitiveTagKeys") or ())
    if before is not None:
        if before.source_identity and source not in {"", before.source_identity}:
            raise iam_errors.access_denied("The source identity of a session cannot be changed.")
        source = before.source_identity or source
        for key in before.transitive:
            if key.lower() in {each.lower() for each in tags}:
                raise iam_errors.sts_validation(
                    "One of the specified transitive tag keys can't be set because it conflicts "
                    "with a transitive tag key from the calling session."
                )
            tags[key] = before.tags[key]
            transitive.append(key)
    name = params["RoleSessionName"]
    session = Session(
        sessions.ROLE,
        row.account,
        row.unique_id,
        name,
        call.time,
        call.time + seconds,
        policies=_session_policies(context, call, row.account),
        tags=tags,
        transitive=tuple(transitive),
        source_identity=source,
        mfa=before is not None and before.mfa and not chained,
        chained=chained,
    )
    answer = _credentials(context, session)
    answer["AssumedRoleUser"] = {
        "AssumedRoleId": f"{row.unique_id}:{name}",
        "Arn": f"arn:aws:sts::{row.account}:assumed-role/{row.name}/{name}",
    }
    if source:
        answer["SourceIdentity"] = source
    return answer


# --- tokens of users -----------------------------------------------------------------------------


def _no_session(call: Call) -> None:
    if _session_of(call.principal) is not None or call.principal.who is Who.ROLE:
        raise iam_errors.access_denied(
            f"Cannot call {call.operation.name} with session credentials"
        )


def _own(_context: OpsContext, call: Call) -> tuple[()]:
    _no_session(call)
    return ()


def _nothing(_call: Call) -> Sequence[Need]:
    # AWS: GetSessionToken asks for no permission.
    return ()


def get_session_token(context: OpsContext, call: Call) -> Response:
    """GetSessionToken."""
    _refuse_devices(call)
    caller = call.principal
    session = Session(
        sessions.ROOT if caller.is_root else sessions.USER,
        caller.account,
        caller.unique_id or "",
        "",
        call.time,
        call.time + _token_seconds(call),
    )
    answer = _credentials(context, session)
    del answer["PackedPolicySize"]
    return answer


def _federated(_context: OpsContext, call: Call) -> tuple[()]:
    _no_session(call)
    name: str = call.params["Name"]
    if len(name) > 32:
        raise iam_errors.constraint(
            "name", name, "Member must have length less than or equal to 32"
        )
    _check_name("name", name)
    _check_tags(call)
    return ()


def _needs_to_federate(call: Call) -> Sequence[Need]:
    account = call.principal.account
    named = f"arn:aws:sts::{account}:federated-user/{call.params['Name']}"
    actions = ["sts:GetFederationToken", *(["sts:TagSession"] if call.params.get("Tags") else [])]
    return [
        Need(action, NamedResource(named, account), f"on resource: {named}") for action in actions
    ]


def get_federation_token(context: OpsContext, call: Call) -> Response:
    """GetFederationToken. Without session policies the session may what key policies give it."""
    caller, name = call.principal, call.params["Name"]
    session = Session(
        sessions.FEDERATED,
        caller.account,
        caller.unique_id or "",
        name,
        call.time,
        call.time + _token_seconds(call),
        policies=_session_policies(context, call, caller.account) or (),
        tags={tag["TagKey"]: tag["TagValue"] for tag in call.params.get("Tags") or ()},
    )
    answer = _credentials(context, session)
    answer["FederatedUser"] = {
        "FederatedUserId": f"{caller.account}:{name}",
        "Arn": f"arn:aws:sts::{caller.account}:federated-user/{name}",
    }
    return answer


# --- what they share -----------------------------------------------------------------------------


def _session_of(caller: Principal) -> Session | None:
    session = caller.session
    assert session is None or isinstance(session, Session)
    return session


def _member(name: str) -> str:
    return name[:1].lower() + name[1:]


def _check_name(member: str, value: str) -> None:
    if _NAME.fullmatch(value) is None:
        raise iam_errors.constraint(
            member, value, "Member must satisfy regular expression pattern: [\\w+=,.@-]*, and have "
            "2 to 64 characters"
        )  # fmt: skip


def _check_tags(call: Call) -> None:
    tags = {tag["TagKey"]: tag["TagValue"] for tag in call.params.get("Tags") or ()}
    if len(tags) != len(call.params.get("Tags") or ()):
        raise iam_errors.invalid_input(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    checks.merged_tags({}, tags)
    if not set(call.params.get("TransitiveTagKeys") or ()) <= tags.keys():
        raise iam_errors.sts_validation(
            "The specified transitive tag key must be included in the requested tags."
        )


def _refuse_devices(call: Call) -> None:
    if "SerialNumber" in call.params or "TokenCode" in call.params:
        raise iam_errors.access_denied(
            "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )


def _seconds(call: Call, most: int, default: int) -> int:
    seconds: int = call.params.get("DurationSeconds", default)
    if seconds < MIN_SECONDS:
        rule = f"greater than or equal to {MIN_SECONDS}"
    elif seconds > most:
        rule = f"less than or equal to {most}"
    else:
        return seconds
    raise iam_errors.constraint("durationSeconds", seconds, f"Member must have value {rule}")


def _token_seconds(call: Call) -> int:
    """AWS: a root user's are cut to an hour, whatever is asked for."""
    seconds = _seconds(call, MAX_TOKEN_SECONDS, DEFAULT_TOKEN_SECONDS)
    return min(seconds, ONE_HOUR) if call.principal.is_root else seconds


def _session_policies(context: OpsContext, call: Call, account: str) -> tuple[str, ...] | None:
    """The documents of Policy and PolicyArns; None without either."""
    found: list[str] = []
    given = call.params.get("Policy")
    if given is not None:
        if len(given) > MAX_POLICY:
            raise iam_errors.constraint(
                "policy", given, f"Member must have length less than or equal to {MAX_POLICY}"
            )
        found.append(checks.checked_document(given, Kind.SESSION))
    named: list[str] = call.params.get("PolicyArns") or []
    if len(named) > checks.ATTACHED:
        raise iam_errors.constraint(
            "policyArns", len(named), "Member must have length less than or equal to 10"
        )
    with context.store.read() as tx:
        for policy_arn in named:
            document = document_of(tx, account, policy_arn)
            if document is None:
                raise iam_errors.sts_validation(f"The policy {policy_arn} does not exist.")
            found.append(document)
    return tuple(found) or None


def _credentials(context: OpsContext, session: Session) -> Response:
    claims = session.encode()
    if len(claims) > MAX_CLAIMS:
        raise iam_errors.packed_policy_too_large(len(claims) * 100 // MAX_CLAIMS)
    made = context.accounts.issue(claims)
    packed = len("".join(session.policies or ())) + sum(
        len(key) + len(value) for key, value in session.tags.items()
    )
    return {
        "Credentials": {
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret_access_key,
            "SessionToken": made.session_token,
            "Expiration": timestamp(session.expires),
        },
        "PackedPolicySize": -(-packed * 100 // MAX_CLAIMS),
    }


HANDLERS: Final = (
    Handler("AssumeRole", assume_role, resolve=_role_of, needs=_needs_to_assume),
    Handler("GetSessionToken", get_session_token, resolve=_own, needs=_nothing),
    Handler(
        "GetFederationToken", get_federation_token, resolve=_federated, needs=_needs_to_federate
    ),
)
