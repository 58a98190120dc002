"""Why: a decision in words and names, for people and programs that ask."""

from __future__ import annotations

from typing import Any, NamedTuple

from clavero.iam.decision import Basis, Decision
from clavero.iam.documents import line_of


class Explained(NamedTuple):
    """One authorisation that a call needs; `resource` is an ARN or `*`, None: it is not there."""

    action: str
    resource: str | None
    decision: Decision


def told(explained: Explained) -> dict[str, Any]:
    """As members: Action, Resource, Allowed, Basis; Because and Missing where it is refused."""
    decision = explained.decision
    found: dict[str, Any] = {
        "Action": explained.action,
        "Resource": explained.resource,
        "Allowed": decision.allowed,
        "Effect": decision.effect.value,
        "Basis": [named(each) for each in decision.basis],
    }
    if not decision.allowed:
        found["Because"] = decision.because
    if decision.missing is not None:
        found["Missing"] = decision.missing.value
    return found


def named(basis: Basis) -> dict[str, Any]:
    """A statement or a grant as members; see `told`."""
    policy, statement, grant = basis
    if grant is not None:
        return {"GrantId": grant.grant_id, "GranteePrincipal": grant.grantee}
    if policy is None or statement is None:
        return {"RootUser": True}
    found: dict[str, Any] = {"PolicyType": policy.kind.value, "PolicyName": policy.name}
    if statement.sid:
        found["Sid"] = statement.sid
    found["Statement"] = statement.index + 1
    found["Line"] = line_of(policy.text, statement.index)
    return found


def sentence(check: dict[str, Any]) -> str:
    """One of `told`'s answers as a line: what it rests on, or what is missing."""
    if not check["Allowed"] and not check["Basis"]:
        return str(check["Because"])
    return "; ".join(phrase(each) for each in check["Basis"]) or "the account's root user"


def phrase(basis: dict[str, Any]) -> str:
    """One of `named`'s answers in words."""
    if "GrantId" in basis:
        return f"grant {basis['GrantId']} to {basis['GranteePrincipal']}"
    if "RootUser" in basis:
        return "the root user of its account"
    name = f" {basis['PolicyName']}" if basis["PolicyName"] else ""
    sid = f" ({basis['Sid']})" if "Sid" in basis else ""
    if "Statement" not in basis:
        return f"{basis['PolicyType']}{name}"
    return f"{basis['PolicyType']}{name}, statement {basis['Statement']}{sid}, line {basis['Line']}"
