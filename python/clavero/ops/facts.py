"""What a call gives its conditions: the condition keys, each found when a policy asks for it.

Source: IAM User Guide, "AWS global condition context keys"; AWS KMS Developer Guide, "AWS KMS
condition keys". What only a trusted party can vouch for (kms:ViaService, aws:SourceVpce,
aws:PrincipalTag/..., aws:SourceArn, aws:MultiFactorAuthPresent) is in the principal's facts; no
header and no parameter sets it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from clavero.iam import condition_keys, grants
from clavero.iam.matching import Value
from clavero.iam.principals import Principal, Who
from clavero.model import arn, specs
from clavero.ops.directory import Key
from clavero.store import aliases, meta, tags, usage

if TYPE_CHECKING:
    from clavero.ops.call import Call
    from clavero.ops.context import OpsContext
    from clavero.store.keys import KeyRow

_SECONDS_A_DAY: Final = 86_400
# Which member of a request is meant where a call has two of a kind.
_PREFIX: Final = {"ReEncryptFrom": "Source", "ReEncryptTo": "Destination"}
# Names that are remembered with how they are found: policies choose them.
_REMEMBERED: Final = 4096


class Facts:
    """The condition keys of one action of a call on one resource.

    `key` is the KMS key, None where the resource is none; `alias` says that it is an alias, which
    has no kms: keys; `region` is where the action is, if not in the call's. `read` collects what
    was asked for and differs from call to call of the same caller, action and key: on the rest, and
    on these, a decision depends and on nothing else.
    """

    __slots__ = (
        "_alias",
        "_call",
        "_context",
        "_key",
        "_known",
        "_operation",
        "_region",
        "account",
        "read",
    )

    def __init__(
        self,
        context: OpsContext,
        call: Call,
        action: str,
        key: Key | None,
        account: str,
        *,
        alias: bool = False,
        region: str | None = None,
    ) -> None:
        self._context = context
        self._call = call
        self._operation = action.removeprefix("kms:")
        self._key = key
        self._alias = alias
        self._known: dict[str, Value] = {}
        self.account = account
        self._region = region
        self.read: dict[str, Value] = {}

    def get(self, name: str, /) -> Value:
        """The value of a condition key, in lower case; see `clavero.iam.matching.Facts`."""
        known = self._known
        if name in known:
            return known[name]
        given = self._call.principal.facts.get(name)
        if given is not None and name != "kms:viaservice":
            value, differs = given, False
        elif self._alias and name.startswith("kms:"):
            value, differs = None, False
        else:
            find = finder(name, self._operation)
            value = None if find is None else find(self)
            differs = find is not None and (self._key is None or not name.startswith(_FIXED))
        known[name] = value
        if differs:
            self.read[name] = value
        return value

    # --- what several of them need ---------------------------------------------------------------

    @property
    def caller(self) -> Principal:
        return self._call.principal

    @property
    def call(self) -> Call:
        return self._call

    @property
    def key(self) -> Key | None:
        return self._key

    @property
    def row(self) -> KeyRow | None:
        """The key's row, for a replica that is to be made its primary key's; None for no key."""
        if self._key is not None:
            return self._key.row
        keys = self._call.keys
        return keys[0].row if keys and self._call.operation.name == "ReplicateKey" else None

    @property
    def region(self) -> str:
        """Where the action is. A key of another Region than the call's is to be primary there."""
        if self._key is not None:
            return self._key.row.region
        return self._region or self._call.scope.region

    def member(self, name: str) -> Any:
        """The request's member of that name, or the one of two that this action is about."""
        return self._call.params.get(_PREFIX.get(self._operation, "") + name)

    def encryption_context(self) -> Mapping[str, str]:
        """The request's; for a grant that is created or retired, its constraint's."""
        if self._operation == "CreateGrant":
            constraints = self._call.params.get("Constraints") or {}
        elif self._operation == "RetireGrant":
            constraints = _retired_constraints(self._call)
        else:
            found: Mapping[str, str] = self.member("EncryptionContext") or {}
            return found
        return (
            constraints.get("EncryptionContextEquals")
            or constraints.get("EncryptionContextSubset")
            or {}
        )

    def tags(self) -> list[tuple[str, str]]:
        """The tags that the request would give."""
        given = self._call.params.get("Tags") or ()
        return [(tag["TagKey"], tag["TagValue"]) for tag in given]

    def resource_tags(self) -> Mapping[str, str]:
        """The tags of the key, or of the role that the call would assume."""
        if self._key is None:
            found: Mapping[str, str] = getattr(self._call.role, "tags", {})
            return found
        row = self._key.row
        with self._context.store.read() as tx:
            return tags.of_key(tx, row.region, row.account, row.key_id)

    def aliases(self) -> Value:
        """The names of the key's aliases; none of a key with more than its quota."""
        if self._key is None:
            return None
        row, most = self._key.row, self._context.quotas.aliases
        with self._context.store.read() as tx:
            rows, more = aliases.page(
                tx, row.region, row.account, limit=most, after="", key_id=row.key_id
            )
        return None if more else tuple(alias.name for alias in rows)

    def organization(self) -> tuple[str, tuple[str, ...]] | tuple[None, None]:
        """The organisation of the account that owns the resource, and the way to it."""
        placed = self._context.resolver.guardrails().get(self.account)
        return (None, None) if placed is None else (placed.organization_id, (placed.path,))

    def idle_days(self) -> Value:
        """Whole days since the key's last use, or since its use is recorded."""
        if self._key is None:
            return None
        row = self._key.row
        self._context.usage.flush()
        with self._context.store.read() as tx:
            found = usage.get(tx, row.region, row.account, row.key_id)
            since = max(float(meta.get(tx, meta.USAGE_SINCE) or 0.0), row.created)
        used = since if found is None else found.used
        return str(max(0, int((self._call.time - used) // _SECONDS_A_DAY)))


def _retired_constraints(call: Call) -> Mapping[str, Any]:
    """The constraints of the grant that the call retires."""
    found: Mapping[str, Any] = json.loads((call.grant and call.grant.constraints) or "{}")
    return found


_Find: TypeAlias = Callable[[Facts], Value]


@lru_cache(_REMEMBERED)
def finder(name: str, operation: str) -> _Find | None:
    """How a condition key (in lower case) of requests for an operation is found; None: never.

    Where the caller's facts have the key, theirs is its value, but for kms:ViaService.
    """
    if name.startswith("kms:") and not condition_keys.has_it(name, operation):
        return None
    for prefix, find in _NAMED:
        if name.startswith(prefix):
            return find(name.removeprefix(prefix))
    return _FACTS.get(name)


def _folded(pairs: Mapping[str, str], name: str) -> str | None:
    """The value under a key in any case. Of several that differ in case only: the first."""
    found = [key for key in pairs if key.lower() == name]
    return pairs[min(found)] if found else None


def _pair(name: str) -> _Find:
    return lambda facts: _folded(facts.encryption_context(), name)


def _attested(name: str) -> _Find:
    """What the verified attestation document of the recipient says."""
    wanted = condition_keys.ATTESTATION_PREFIX + name
    return lambda facts: _folded(facts.call.facts, wanted)


def _request_tag(name: str) -> _Find:
    return lambda facts: next((value for tag, value in facts.tags() if tag.lower() == name), None)


def _resource_tag(name: str) -> _Find:
    return lambda facts: _folded(facts.resource_tags(), name)


# By what their names begin with; the rest is the caller's or an administrator's choice.
_NAMED: Final = (
    (condition_keys.CONTEXT_PREFIX, _pair),
    (condition_keys.ATTESTATION_PREFIX, _attested),
    ("aws:requesttag/", _request_tag),
    ("aws:resourcetag/", _resource_tag),
)


def _bool(value: object) -> str:
    return "true" if value else "false"


def _param(name: str) -> _Find:
    """A member of the request, as a text; absent where it was not sent."""

    def find(facts: Facts) -> Value:
        value = facts.call.params.get(name)
        if value is None:
            return None
        if isinstance(value, bool):
            return _bool(value)
        if isinstance(value, datetime):
            return _epoch(value.timestamp())
        return str(value)

    return find


def _defaulted(name: str, default: str) -> _Find:
    return lambda facts: str(facts.member(name) or default)


def _of_key(column: str, member: str, default: str) -> _Find:
    """A property of the key, or the one that CreateKey asks for."""

    def find(facts: Facts) -> Value:
        if facts.row is not None:
            return str(getattr(facts.row, column))
        return str(facts.call.params.get(member) or default)

    return find


def _spec(facts: Facts) -> Value:
    if facts.row is not None:
        return facts.row.spec
    params = facts.call.params
    given = params.get("KeySpec") or params.get("CustomerMasterKeySpec")
    return str(given or specs.SYMMETRIC_DEFAULT)


def _multi_region(facts: Facts) -> bool:
    if facts.row is not None:
        return facts.row.multi_region
    return bool(facts.call.params.get("MultiRegion"))


def _multi_region_type(facts: Facts) -> Value:
    if not _multi_region(facts):
        return None
    row = facts.row
    is_replica = row is not None and (facts.key is None or row.is_replica)
    return "REPLICA" if is_replica else "PRIMARY"


def _context_keys(facts: Facts) -> Value:
    return tuple(sorted(facts.encryption_context())) or None


def _constraint_type(facts: Facts) -> Value:
    if facts.call.operation.name == "RetireGrant":
        constraints = _retired_constraints(facts.call)
    else:
        constraints = facts.call.params.get("Constraints") or {}
    for name in ("EncryptionContextEquals", "EncryptionContextSubset"):
        if name in constraints:
            return name
    return None


def _source_constraint(facts: Facts) -> Value:
    found: str | None = (facts.call.params.get("Constraints") or {}).get("SourceArn")
    return found


def _same_key(facts: Facts) -> Value:
    keys = facts.call.keys
    return _bool(len(keys) == 2 and keys[0].arn == keys[1].arn)


def _request_alias(facts: Facts) -> Value:
    reference = facts.member("KeyId")
    if not isinstance(reference, str) or not arn.is_alias(reference):
        return None
    return reference[reference.index(arn.ALIAS_PREFIX) :]


def _tag_keys(facts: Facts) -> Value:
    untagged = facts.call.params.get("TagKeys") or ()
    return tuple(dict.fromkeys([*(tag for tag, _ in facts.tags()), *untagged])) or None


def _epoch(seconds: float) -> str:
    return format(seconds, ".3f")


def _now(facts: Facts) -> Value:
    at = datetime.fromtimestamp(facts.call.time, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _principal_arn(facts: Facts) -> Value:
    """The role's ARN for a session, otherwise the caller's; services have none."""
    caller = facts.caller
    if caller.who is Who.SERVICE:
        return None
    if caller.who is not Who.ROLE:
        return caller.arn
    return caller.role_arn or f"arn:aws:iam::{caller.account}:role/{caller.role_name}"


def user_id(caller: Principal) -> str | None:
    """aws:userid: of users and sessions, the unique id where it is known."""
    if caller.is_root:
        return caller.account
    if caller.who is Who.FEDERATED:
        return f"{caller.account}:{caller.session_name}"
    if caller.unique_id is None or caller.session_name is None:
        return caller.unique_id
    return f"{caller.unique_id}:{caller.session_name}"


def _user_name(facts: Facts) -> Value:
    return facts.caller.arn.rsplit("/", 1)[1] if facts.caller.who is Who.USER else None


def _vpce(facts: Facts) -> Value:
    """The VPC endpoint that the call's listener stands for."""
    transport = facts.call.transport
    return None if transport is None else transport.vpce


def _vpc(facts: Facts) -> Value:
    transport = facts.call.transport
    return None if transport is None else transport.vpc


def _secure(facts: Facts) -> Value:
    """False over plain HTTP only; nothing leaves the process in a call that has no transport."""
    transport = facts.call.transport
    return "false" if transport is not None and transport.tls_version is None else "true"


def _source_ip(facts: Facts) -> Value:
    # Through a VPC endpoint there is an aws:VpcSourceIp in its place.
    there = facts.caller.facts
    return None if "aws:sourcevpce" in there or _vpce(facts) else facts.call.source_ip


def _via(facts: Facts) -> str | None:
    service = facts.caller.facts.get("kms:viaservice")
    return service if isinstance(service, str) else None


def _called_via(facts: Facts) -> Value:
    service = _via(facts)
    if service is None:
        return None
    name, *_, domain, top = service.split(".")
    return (f"{name}.{domain}.{top}",)


def _called_via_one(facts: Facts) -> Value:
    several = _called_via(facts)
    return several[0] if isinstance(several, tuple) else None


def _wanted(facts: Facts) -> Value:
    params = facts.call.params
    if facts.call.operation.name != "CreateGrant":
        return None
    return grants.wanted_fact(params["Operations"], params.get("Constraints") or {})


_FACTS: Final[Mapping[str, _Find]] = {
    # Of the caller
    "aws:principalarn": _principal_arn,
    "aws:principalaccount": lambda facts: facts.caller.account or None,
    "aws:principaltype": lambda facts: facts.caller.who.value,
    "aws:principalisawsservice": lambda facts: _bool(facts.caller.who is Who.SERVICE),
    "aws:userid": lambda facts: user_id(facts.caller),
    "aws:username": _user_name,
    "aws:viaawsservice": lambda facts: _bool(_via(facts)),
    "aws:calledvia": _called_via,
    "aws:calledviafirst": _called_via_one,
    "aws:calledvialast": _called_via_one,
    "kms:calleraccount": lambda facts: facts.caller.account or None,
    "kms:viaservice": _via,
    "kms:grantisforawsresource": lambda facts: _bool(_via(facts)),
    # Of the call
    "aws:currenttime": _now,
    "aws:epochtime": lambda facts: _epoch(facts.call.time),
    "aws:requestedregion": lambda facts: facts.region,
    "aws:securetransport": _secure,
    "aws:sourcevpce": _vpce,
    "aws:sourcevpc": _vpc,
    "aws:vpcsourceip": lambda facts: facts.call.source_ip if _vpce(facts) else None,
    "aws:sourceip": _source_ip,
    "aws:useragent": lambda facts: facts.call.user_agent or None,
    "aws:tagkeys": _tag_keys,
    "kms:bypasspolicylockoutsafetycheck": _param("BypassPolicyLockoutSafetyCheck"),
    "kms:datakeypairspec": _param("KeyPairSpec"),
    "kms:encryptionalgorithm": _defaulted("EncryptionAlgorithm", specs.SYMMETRIC_DEFAULT),
    "kms:encryptioncontextkeys": _context_keys,
    "kms:expirationmodel": _param("ExpirationModel"),
    "kms:grantconstraintsourcearn": _source_constraint,
    "kms:grantconstrainttype": _constraint_type,
    "kms:grantoperations": lambda facts: tuple(facts.call.params["Operations"]),
    "iam:policyarn": _param("PolicyArn"),
    "iam:permissionsboundary": _param("PermissionsBoundary"),
    "kms:granteeprincipal": _param("GranteePrincipal"),
    "kms:granteeserviceprincipal": _param("GranteeServicePrincipal"),
    "kms:keyagreementalgorithm": _param("KeyAgreementAlgorithm"),
    "kms:macalgorithm": _param("MacAlgorithm"),
    "kms:messagetype": _defaulted("MessageType", "RAW"),
    "kms:policyname": _defaulted("PolicyName", "default"),
    "kms:primaryregion": _param("PrimaryRegion"),
    "kms:reencryptonsamekey": _same_key,
    "kms:replicaregion": _param("ReplicaRegion"),
    "kms:requestalias": _request_alias,
    "kms:retiringprincipal": _param("RetiringPrincipal"),
    "kms:retiringserviceprincipal": _param("RetiringServicePrincipal"),
    "kms:rotationperiodindays": _param("RotationPeriodInDays"),
    "kms:schedulekeydeletionpendingwindowindays": _param("PendingWindowInDays"),
    "kms:signingalgorithm": _param("SigningAlgorithm"),
    "kms:validto": _param("ValidTo"),
    "sts:externalid": _param("ExternalId"),
    "sts:rolesessionname": _param("RoleSessionName"),
    "sts:sourceidentity": _param("SourceIdentity"),
    "sts:transitivetagkeys": lambda facts: (
        tuple(facts.call.params.get("TransitiveTagKeys") or ()) or None
    ),
    "kms:wrappingalgorithm": _param("WrappingAlgorithm"),
    "kms:wrappingkeyspec": _param("WrappingKeySpec"),
    grants.CONTEXT: lambda facts: grants.context_fact(facts.encryption_context()),
    grants.WANTED: _wanted,
    # Of the resource
    "aws:resourceorgid": lambda facts: facts.organization()[0],
    "aws:resourceorgpaths": lambda facts: facts.organization()[1],
    "aws:resourceaccount": lambda facts: facts.account,
    "kms:keyspec": _spec,
    "kms:customermasterkeyspec": _spec,
    "kms:keyusage": _of_key("usage", "KeyUsage", specs.ENCRYPT_DECRYPT),
    "kms:customermasterkeyusage": _of_key("usage", "KeyUsage", specs.ENCRYPT_DECRYPT),
    "kms:keyorigin": _of_key("origin", "Origin", "AWS_KMS"),
    "kms:multiregion": lambda facts: _bool(_multi_region(facts)),
    "kms:multiregionkeytype": _multi_region_type,
    "kms:resourcealiases": lambda facts: facts.aliases(),
    "kms:trailingdayswithoutkeyusage": lambda facts: facts.idle_days(),
}
# Those that follow from caller, action and key: what changes them makes the key's decisions void.
_FIXED: Final = (
    "aws:principal",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
    "aws:calledvia",
    "aws:resource",
    "kms:calleraccount",
    "kms:viaservice",
    "kms:grantisforawsresource",
    "kms:keyspec",
    "kms:keyusage",
    "kms:keyorigin",
    "kms:customermasterkey",
    "kms:multiregion",
    "kms:resourcealiases",
)
