"""Key policies: PutKeyPolicy, GetKeyPolicy, ListKeyPolicies, and the rules for CreateKey's.

A policy is kept and given back byte for byte; `ops.authorisation` evaluates it.
"""

from __future__ import annotations

from typing import Final

from clavero.iam import documents
from clavero.model import errors
from clavero.ops import states
from clavero.ops.authorisation import may_change_policy
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, limit_of
from clavero.ops.keychange import change_key
from clavero.ops.registry import Handler, by_key_id
from clavero.store import keys

DEFAULT: Final = "default"
AWS_RAM: Final = "AWS_RAM"
# AWS KMS API reference, ListKeyPolicies: Limit.
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000


def checked(context: OpsContext, call: Call, key_arn: str | None = None) -> str:
    """The Policy of a request; refused when it is too long, malformed, or locks the caller out.

    `key_arn` is the key's, where there is one already.
    """
    text: str = call.params["Policy"]
    most = context.quotas.policy_bytes
    if len(text.encode()) > most:
        raise errors.limit_exceeded(
            f"A key policy can have at most {most} bytes, and this one has {len(text.encode())}: "
            "shorten it, or use grants."
        )
    documents.parse(text)
    if not call.params.get("BypassPolicyLockoutSafetyCheck") and not may_change_policy(
        context, call, text, key_arn
    ):
        raise errors.policy_lockout()
    return text


def put_key_policy(context: OpsContext, call: Call) -> Response:
    """PutKeyPolicy: the policy named default, whole."""
    name = call.params.get("PolicyName", DEFAULT)
    if name == AWS_RAM:
        raise errors.validation("The AWS_RAM policy can only be managed by the RAM service")
    if name != DEFAULT:
        raise errors.no_such_policy()
    change_key(context, call, keys.set_policy, checked(context, call, call.keys[0].arn))
    return {}


def get_key_policy(context: OpsContext, call: Call) -> Response:
    """GetKeyPolicy."""
    if call.params.get("PolicyName", DEFAULT) != DEFAULT:
        raise errors.no_such_policy()
    return {"Policy": call.keys[0].row.policy, "PolicyName": DEFAULT}


def list_key_policies(context: OpsContext, call: Call) -> Response:
    """ListKeyPolicies: each key has one, and the list one page."""
    limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    if "Marker" in call.params:  # the model knows no InvalidMarkerException here
        raise errors.validation(
            "The marker is not valid: the list of a key's policies has one page; leave Marker out."
        )
    return {"PolicyNames": [DEFAULT], "Truncated": False}


HANDLERS: Final = (
    Handler("PutKeyPolicy", put_key_policy, resolve=by_key_id(), states=states.ANY),
    Handler("GetKeyPolicy", get_key_policy, resolve=by_key_id(), states=states.ANY),
    Handler("ListKeyPolicies", list_key_policies, resolve=by_key_id(), states=states.ANY),
)
