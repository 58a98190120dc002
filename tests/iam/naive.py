"""A second evaluator, written from AWS's documentation alone: slow, plain, and sharing no code.

Everything is read anew from raw JSON for each request. It follows the order of the texts: explicit
denies, guardrails, the key's side, the caller's side. Only what a random world can have is here.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

MULTI = {
    "aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:sourceorgpaths",
    "aws:resourceorgpaths", "aws:principalservicenameslist", "kms:encryptioncontextkeys",
    "kms:grantoperations", "kms:resourcealiases",
}  # fmt: skip
CROSS = {
    "Encrypt", "Decrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac",
    "Sign", "Verify", "DeriveSharedSecret", "Encapsulate", "Decapsulate", "DescribeKey",
    "GetPublicKey", "GetKeyRotationStatus", "ReEncryptFrom", "ReEncryptTo", "CreateGrant",
    "ListGrants", "RevokeGrant", "RetireGrant",
}  # fmt: skip
FOREIGN = (
    "because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)


@dataclass
class World:
    """A request and all that there is to decide it. Policies are parsed JSON."""

    caller: dict[str, Any]  # arn, account, and perhaps user_arn, role_arn, unique_id
    action: str
    resource: str
    owner: str
    facts: dict[str, Any]
    key_policy: dict[str, Any] | None
    grants: list[dict[str, Any]] = field(default_factory=list)
    identity: list[dict[str, Any]] = field(default_factory=list)
    boundary: dict[str, Any] | None = None
    sessions: list[dict[str, Any]] | None = None
    scps: list[list[dict[str, Any]]] = field(default_factory=list)
    rcps: list[dict[str, Any]] = field(default_factory=list)
    endpoint: dict[str, Any] | None = None


# --- texts ---------------------------------------------------------------------------------------


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def to_regex(pattern: str) -> str:
    """A pattern with wildcards as a regular expression; U+0001 before a character: literal."""
    made = ""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\x01":
            at += 1
            made += re.escape(pattern[at])
        else:
            made += {"*": "(?s:.*)", "?": "(?s:.)"}.get(char, re.escape(char))
        at += 1
    return made


def like(pattern: str, value: str) -> bool:
    # Beyond U+FFFF a character is two of UTF-16
    return re.fullmatch(to_regex(surrogates(pattern)), surrogates(value)) is not None


def surrogates(text: str) -> str:
    made = ""
    for char in text:
        code = ord(char)
        if code > 0xFFFF:
            code -= 0x10000
            made += chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))
        else:
            made += char
    return made


def expand(text: str, facts: dict[str, Any], *, on: bool) -> str | None:
    """The text with its variables replaced, each character of a value marked as a literal."""
    if not on:
        return text
    missing = False

    def replaced(match: re.Match[str]) -> str:
        nonlocal missing
        inner = match[1]
        if inner in {"*", "?", "$"}:
            return "\x01" + inner
        default = None
        if "," in inner:
            inner, default = inner.split(",", 1)
            default = default.strip().strip("'")
        value = facts.get(inner.strip().lower(), default)
        if not isinstance(value, str):
            missing = True
            return ""
        return "".join("\x01" + char for char in surrogates(value))

    made = re.sub(r"\$\{([^}]*)\}", replaced, text)
    return None if missing else made


def plain(marked: str) -> str:
    return marked.replace("\x01", "")


# --- conditions ----------------------------------------------------------------------------------


def number(text: str) -> Decimal | None:
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text, re.ASCII) is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def date(text: str) -> Decimal | None:
    if number(text) is not None:
        value = number(text)
        assert value is not None
        return Decimal(int(value * 1000 // 1))
    try:
        return Decimal(round(datetime.fromisoformat(text).timestamp() * 1000))
    except ValueError:
        return None


ORDER = {
    "Equals": lambda a, b: a == b,
    "NotEquals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEquals": lambda a, b: a >= b,
}


def one(operator: str, wanted: str, value: str, facts: dict[str, Any], on: bool) -> bool | None:
    """Whether the request's value is the policy's, as the positive operator has it."""
    base = operator.replace("Not", "")
    if base in {"StringEquals", "StringLike", "StringEqualsIgnoreCase"}:
        made = expand(wanted, facts, on=on)
        if made is None:
            return False
        if base == "StringLike":
            return like(made, value)
        if base == "StringEquals":
            return surrogates(plain(made)) == surrogates(value)
        return surrogates(plain(made).lower()) == surrogates(value.lower())
    if base.startswith("Numeric"):
        a, b = number(value), number(wanted)
        return a is not None and b is not None and ORDER[operator[7:]](a, b)
    if base.startswith("Date"):
        a, b = date(value), date(wanted)
        return a is not None and b is not None and ORDER[operator[4:]](a, b)
    if base == "Bool":
        made = expand(wanted, facts, on=on)
        return made is not None and (plain(made).lower() == "true") == (value.lower() == "true")
    if base == "BinaryEquals":
        return base64.b64decode(wanted) == value.encode()
    if base == "IpAddress":
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return None
        if address.version == 6 and address.ipv4_mapped:
            address = address.ipv4_mapped
        try:
            network = ipaddress.ip_network(wanted, strict=":" in wanted)
        except ValueError:
            return False
        return address.version == network.version and address in network
    assert base in {"ArnEquals", "ArnLike"}, operator
    parts = value.split(":")
    if len(parts) < 6 or parts[0] != "arn":
        return None
    made = expand(wanted, facts, on=on)
    if made is None:
        return False
    # A marked colon is literal all the same
    wanted_parts = re.split("\x01?:", made, maxsplit=5)
    if len(wanted_parts) < 6:
        return False
    return all(map(like, wanted_parts, [*parts[:5], ":".join(parts[5:])]))


def condition_holds(
    name: str, key: str, values: list[Any], facts: dict[str, Any], on: bool
) -> bool:
    texts = [
        str(each).lower() if isinstance(each, bool) else str(each) if each is not None else ""
        for each in values
    ]
    key = key.lower()
    value = facts.get(key)
    if value == ():
        value = None
    if name == "Null":
        return any((value is None) == (each.lower() == "true") for each in texts)
    operator = name
    prefix = ""
    if ":" in operator:
        prefix, operator = operator.split(":")
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    negated = "Not" in operator
    if value is None:
        if prefix == "ForAllValues":
            return True
        if if_exists:
            return True
        if prefix == "ForAnyValue":
            return False
        return negated

    def satisfied(each: str) -> bool:
        outcomes = [one(operator, wanted, each, facts, on) for wanted in texts]
        if operator.replace("Not", "") in {"IpAddress", "ArnEquals", "ArnLike"}:
            probe = "0.0.0.0" if "Ip" in operator else "arn:::::"  # noqa: S104 - any value will do
            if one(operator, probe, each, facts, False) is None:
                return False
        return not any(outcomes) if negated else any(outcomes)

    if prefix:
        combine = all if prefix == "ForAllValues" else any
        return combine(map(satisfied, value if isinstance(value, tuple) else (value,)))
    if key in MULTI or isinstance(value, tuple):
        return False
    return satisfied(value)


# --- statements ----------------------------------------------------------------------------------


def principal_kinds(caller: dict[str, Any], principal: Any) -> set[str]:
    """In which ways a Principal element reaches the caller."""
    if principal == "*":
        return {"wildcard"}
    found = set()
    arn, account = caller["arn"], caller["account"]
    for entry in as_list(principal.get("Service", [])):
        if entry == arn:
            found.add("service")
    for entry in as_list(principal.get("AWS", [])):
        if entry == "*":
            found.add("wildcard")
        elif entry in {account, f"arn:aws:iam::{account}:root"}:
            found.add("root user" if arn == f"arn:aws:iam::{account}:root" else "account")
        elif entry == arn and ":role/" not in arn:
            found.add("itself")
        elif entry == arn:
            found.add("role")
        elif entry == caller.get("user_arn"):
            found.add("user of session")
        elif ":role/" in entry and ":assumed-role/" in arn and entry.split(":")[4] == account:
            if caller.get("role_arn"):
                if caller["role_arn"] == entry:
                    found.add("role")
            elif entry.split("/")[-1] == arn.split("/")[1]:
                found.add("role")
    return found


def names(statement: dict[str, Any], caller: dict[str, Any], has_boundary: bool) -> set[str]:
    if "Principal" in statement:
        return principal_kinds(caller, statement["Principal"])
    if "NotPrincipal" not in statement:
        return {"attached"}
    kinds = principal_kinds(caller, statement["NotPrincipal"])
    if statement["Effect"] == "Deny":
        if has_boundary:
            return {"wildcard"}
        return set() if kinds - {"account"} else {"wildcard"}
    return set() if kinds else {"wildcard"}


def covers(statement: dict[str, Any], world: World, on: bool, facts: dict[str, Any]) -> bool:
    if "Action" in statement:
        wanted = as_list(statement["Action"])
        if not any(like(each.lower(), world.action.lower()) for each in wanted):
            return False
    elif "NotAction" in statement:
        wanted = as_list(statement["NotAction"])
        if any(like(each.lower(), world.action.lower()) for each in wanted):
            return False
    else:
        return False

    def resource_matches(text: str) -> bool:
        if on and text.count(":") >= 5:
            head = ":".join(text.split(":")[:5]) + ":"
            tail = expand(":".join(text.split(":")[5:]), world.facts, on=True)
            if tail is None:
                return False
            return like(head + tail, world.resource)
        return like(text, world.resource)

    if "Resource" in statement:
        if not any(map(resource_matches, as_list(statement["Resource"]))):
            return False
    elif "NotResource" in statement:
        if any(map(resource_matches, as_list(statement["NotResource"]))):
            return False
    else:
        return False
    return all(
        condition_holds(name, key, as_list(values), facts, on)
        for name, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def kinds_of(policies: Any, effect: str, world: World) -> set[str]:
    """In which ways the statements of that effect reach the caller for this request."""
    found = set()
    facts = dict(world.facts)
    if world.key_policy is not None and list(policies) == [world.key_policy]:
        facts.pop("kms:resourcealiases", None)  # [DG] a key for IAM policies only
    for policy in policies:
        on = policy.get("Version") == "2012-10-17"
        for statement in as_list(policy["Statement"]):
            if statement["Effect"] == effect and covers(statement, world, on, facts):
                found |= names(statement, world.caller, world.boundary is not None)
    return found


# --- grants --------------------------------------------------------------------------------------


def folded(pairs: dict[str, str]) -> set[tuple[str, str]]:
    return {(key.lower(), value) for key, value in pairs.items()}


def grant_gives(grant: dict[str, Any], world: World) -> bool:
    operation = world.action.split(":")[1]
    if operation not in grant["Operations"]:
        return False
    constraints = grant.get("Constraints", {})
    if operation == "CreateGrant":
        child = world.facts.get("child")
        if child is None or not set(child["Operations"]) <= set(grant["Operations"]):
            return False
        limits = child.get("Constraints", {})
        if constraints.get("SourceArn") not in {None, limits.get("SourceArn")}:
            return False
        if "EncryptionContextEquals" in constraints:
            return "EncryptionContextEquals" in limits and folded(
                limits["EncryptionContextEquals"]
            ) == folded(constraints["EncryptionContextEquals"])
        if "EncryptionContextSubset" in constraints:
            for name in ("EncryptionContextEquals", "EncryptionContextSubset"):
                if name in limits:
                    needed = folded(constraints["EncryptionContextSubset"])
                    return needed <= folded(limits[name])
            return False
        return True
    if operation == "RetireGrant":
        return True
    if "SourceArn" in constraints and constraints["SourceArn"] != world.facts.get("aws:sourcearn"):
        return False
    if operation == "DescribeKey":
        return True
    context = folded(world.facts.get("context", {}))
    if "EncryptionContextEquals" in constraints:
        return folded(constraints["EncryptionContextEquals"]) == context
    if "EncryptionContextSubset" in constraints:
        return folded(constraints["EncryptionContextSubset"]) <= context
    return True


# --- the decision --------------------------------------------------------------------------------


def decide(world: World) -> tuple[bool, str]:  # noqa: PLR0912 - as the documentation has it
    """Allowed or not, and how AWS's sentence goes on."""
    arn, account = world.caller["arn"], world.caller["account"]
    service = not arn.startswith("arn:")
    is_root = arn.endswith(":root")
    key_policies = [] if world.key_policy is None else [world.key_policy]
    boundary = [] if world.boundary is None else [world.boundary]
    sessions = world.sessions or []
    endpoint = [] if world.endpoint is None else [world.endpoint]
    same = account == world.owner

    def because(what: str) -> tuple[bool, str]:
        return False, f"because no {what} allows the {world.action} action"

    key_allows = kinds_of(key_policies, "Allow", world)
    own_grants = set()
    for grant in world.grants:
        if grant_gives(grant, world):
            kinds = principal_kinds(world.caller, {"AWS": grant["Grantee"]})
            key_allows |= kinds
            if grant["IssuingAccount"] == account:
                own_grants |= kinds
    bypassing = {"wildcard", "itself", "service", "root user"}
    role = {"role", "user of session"}

    if not same and not service:
        if world.key_policy is None:
            return False, FOREIGN
        if world.action.split(":")[1] not in CROSS or not key_allows:
            return False, FOREIGN
        if kinds_of(key_policies, "Deny", world) or kinds_of(world.rcps, "Deny", world):
            return False, FOREIGN
    if service and world.key_policy is None:
        return False, FOREIGN

    # Explicit denies
    for policies, name in (
        ([each for level in world.scps for each in level], "a service control policy"),
        (world.rcps, "a resource control policy"),
        (endpoint, "a VPC endpoint policy"),
        (key_policies, "a resource-based policy"),
        (world.identity, "an identity-based policy"),
        (boundary, "a permissions boundary"),
        (sessions, "a session policy"),
    ):
        if kinds_of(policies, "Deny", world):
            return False, f"with an explicit deny in {name}"

    # Guardrails
    for level in world.scps:
        if not kinds_of(level, "Allow", world):
            return False, "with an explicit deny in a service control policy"
    if endpoint and not kinds_of(endpoint, "Allow", world):
        return because("VPC endpoint policy")

    identity_allows = is_root or bool(kinds_of(world.identity, "Allow", world))
    boundary_allows = not boundary or bool(kinds_of(boundary, "Allow", world))
    session_allows = world.sessions is None or bool(kinds_of(sessions, "Allow", world))

    def limited() -> tuple[bool, str]:
        if not boundary_allows:
            return because("permissions boundary")
        if not session_allows:
            return because("session policy")
        return True, ""

    def own_side() -> tuple[bool, str]:
        return limited() if identity_allows else because("identity-based policy")

    if world.key_policy is None:
        return own_side()
    if same or service:
        if key_allows & bypassing:
            return True, ""
        if service or not key_allows:
            return because("resource-based policy")
        return limited() if key_allows & role else own_side()
    if own_grants & bypassing:
        return True, ""
    if own_grants & role:
        return limited()
    return own_side()
