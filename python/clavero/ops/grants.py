"""Grants: CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.

Here they are kept and listed; `ops.authorisation` reads them for its decisions, and RetireGrant
is decided by the grant itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from clavero.iam import principals
from clavero.iam.decision import NamedResource
from clavero.model import arn, errors, specs
from clavero.ops import authorisation, granttokens, states
from clavero.ops.call import Call, Params, Response
from clavero.ops.context import OpsContext, limit_of, timestamp
from clavero.ops.directory import ForeignResource, Key
from clavero.ops.granttokens import Granted
from clavero.ops.registry import Handler, Need, by_key_id
from clavero.store import grants, keys
from clavero.store.errors import StoreConflict
from clavero.store.grants import GrantRow

# AWS KMS API reference: ListGrants and ListRetirableGrants Limit, CreateGrant Constraints.
DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 100
MAX_PAIRS: Final = 8
MAX_VALUE: Final = 384
GRANT_ID_BYTES: Final = 32

_OF_EVERY_KEY: Final = ("CreateGrant", "RetireGrant", "DescribeKey")
_CIPHERS: Final = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo")
_DATA_KEYS: Final = (
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
)
_BY_USAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "ENCRYPT_DECRYPT": _CIPHERS,
    "SIGN_VERIFY": ("Sign", "Verify"),
    "GENERATE_VERIFY_MAC": ("GenerateMac", "VerifyMac"),
    "KEY_AGREEMENT": ("DeriveSharedSecret",),
    "ENCAPSULATE_DECAPSULATE": ("Encapsulate", "Decapsulate"),
}
_CONTEXTS: Final = ("EncryptionContextSubset", "EncryptionContextEquals")
_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"


def grantable(spec: str, usage: str) -> tuple[str, ...]:
    """The operations that a grant on a key of this kind can have."""
    fitting = _BY_USAGE[usage]
    if spec == _SYMMETRIC:
        return (*_OF_EVERY_KEY, *fitting, *_DATA_KEYS)
    if spec.startswith("HMAC_"):
        return (*_OF_EVERY_KEY, *fitting)
    return (*_OF_EVERY_KEY, "GetPublicKey", *fitting)


# --- CreateGrant ---------------------------------------------------------------------------------


def _wanted(call: Call) -> GrantRow:
    """The grant that the call asks for, without an id; refused when no such grant can be."""
    params, row = call.params, call.keys[0].row
    _check_one_of(params, "GranteePrincipal", "GranteeServicePrincipal", needed=True)
    _check_one_of(params, "RetiringPrincipal", "RetiringServicePrincipal", needed=False)
    constraints = _constraints(params.get("Constraints") or {}, row.spec)
    if "GranteeServicePrincipal" in params and (
        "SourceArn" not in constraints
        or not {"RetiringPrincipal", "RetiringServicePrincipal"} & params.keys()
    ):
        raise errors.validation(
            "A grant to a GranteeServicePrincipal needs a SourceArn constraint, and a "
            "RetiringPrincipal or a RetiringServicePrincipal."
        )
    return GrantRow(
        region=row.region,
        account=row.account,
        key_id=row.key_id,
        grant_id="",
        name=params.get("Name"),
        grantee=_principal(params, "GranteePrincipal"),
        grantee_service=params.get("GranteeServicePrincipal"),
        retiring=_principal(params, "RetiringPrincipal"),
        retiring_service=params.get("RetiringServicePrincipal"),
        operations=json.dumps(_operations(params["Operations"], row.spec, row.usage)),
        constraints=json.dumps(constraints, sort_keys=True) if constraints else None,
        issuing_account=call.principal.account,
        created=call.time,
    )


def _check_one_of(params: Params, principal: str, service: str, *, needed: bool) -> None:
    given = (principal in params) + (service in params)
    if given == 2 or (needed and not given):
        must = "must" if needed else "can"
        raise errors.validation(
            f"You {must} specify either {principal} or {service}, but not both."
        )


def _principal(params: Params, member: str) -> str | None:
    given = params.get(member)
    return None if given is None else principals.checked(given)


def _operations(given: Sequence[str], spec: str, usage: str) -> list[str]:
    wanted = list(dict.fromkeys(given))
    if not wanted:
        raise errors.validation("A grant must have at least one operation: name it in Operations.")
    valid = grantable(spec, usage)
    wrong = [each for each in wanted if each not in valid]
    if wrong:
        raise errors.grant_operations(wrong, _kind(spec), usage, valid)
    return wanted


def _kind(spec: str) -> str:
    return "an asymmetric" if specs.has_public_key(spec) else "a symmetric"


def _constraints(given: Mapping[str, Any], spec: str) -> dict[str, Any]:
    contexts = [name for name in _CONTEXTS if name in given]
    if contexts and spec != _SYMMETRIC:
        raise errors.grant_context_of_asymmetric()
    if len(contexts) == 2:
        raise errors.validation(
            "A grant can have either an EncryptionContextSubset or an EncryptionContextEquals "
            "constraint, but not both."
        )
    for name in contexts:
        pairs = given[name]
        if len(pairs) > MAX_PAIRS:
            raise errors.validation(
                f"{name} can have at most {MAX_PAIRS} encryption context pairs, not {len(pairs)}."
            )
        if any(len(value) > MAX_VALUE for value in pairs.values()):
            raise errors.validation(f"A value in {name} can have at most {MAX_VALUE} characters.")
    return dict(given)


def _check_create(context: OpsContext, call: Call) -> None:
    _wanted(call)


def create_grant(context: OpsContext, call: Call) -> Response:
    """CreateGrant. With a name, the same grant once more is the one that is there."""
    wanted = _wanted(call)
    key = call.keys[0]
    named = (wanted.region, wanted.account, wanted.key_id)
    made = context.keystore.generate_random(GRANT_ID_BYTES).hex()
    with context.store.write() as tx:
        row = keys.get(tx, *named)
        if row is None:
            raise errors.key_not_found(key.arn)
        grant_id = _same(tx, wanted)
        if grant_id is None:
            most = context.quotas.grants
            if grants.count(tx, *named) >= most:
                raise errors.limit_exceeded(
                    f"A KMS key can have at most {most} grants, and {key.arn} has as many: retire "
                    "or revoke some first."
                )
            grant_id = made
            try:
                grants.insert_grant(tx, replace(wanted, grant_id=grant_id))
            except StoreConflict:
                raise errors.key_not_found(key.arn) from None
    context.directory.touched(key)
    token = granttokens.make(
        context, wanted.region, Granted(wanted.account, wanted.key_id, grant_id)
    )
    return {"GrantToken": token, "GrantId": grant_id}


def _same(tx: Connection, wanted: GrantRow) -> str | None:
    """The id of the grant that has the wanted one's name and everything else of it."""
    if wanted.name is None:
        return None
    for grant in grants.named(tx, wanted.region, wanted.account, wanted.key_id, wanted.name):
        if replace(wanted, grant_id=grant.grant_id, created=grant.created) == grant:
            return grant.grant_id
    return None


# --- lists ---------------------------------------------------------------------------------------


def _entry(grant: GrantRow) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "KeyId": arn.key_arn(grant.region, grant.account, grant.key_id),
        "GrantId": grant.grant_id,
        "CreationDate": timestamp(grant.created),
        "IssuingAccount": arn.root_arn(grant.issuing_account),
        "Operations": json.loads(grant.operations),
    }
    others = {
        "Name": grant.name,
        "GranteePrincipal": grant.grantee,
        "GranteeServicePrincipal": grant.grantee_service,
        "RetiringPrincipal": grant.retiring,
        "RetiringServicePrincipal": grant.retiring_service,
    }
    entry |= {member: value for member, value in others.items() if value is not None}
    if grant.constraints is not None:
        entry["Constraints"] = json.loads(grant.constraints)
    return entry


def _check_grant_id(grant_id: str) -> None:
    if len(grant_id) != 2 * GRANT_ID_BYTES or set(grant_id) - set("0123456789abcdef"):
        raise errors.invalid_grant_id(grant_id)


def list_grants(context: OpsContext, call: Call) -> Response:
    """ListGrants: the key's, in order of grant id; one, or one grantee's, where it is asked for."""
    params, row = call.params, call.keys[0].row
    limit = limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    after = context.marker(call)
    if "GranteeServicePrincipal" in params:
        _check_one_of(params, "GranteePrincipal", "GranteeServicePrincipal", needed=False)
        raise errors.only_for_services("GranteeServicePrincipal")
    grantee = _principal(params, "GranteePrincipal")
    grant_id = params.get("GrantId")
    more = False
    with context.store.read() as tx:
        if grant_id is None:
            found, more = grants.page(
                tx, row.region, row.account, row.key_id, limit=limit, after=after, grantee=grantee
            )
        else:
            _check_grant_id(grant_id)
            grant = grants.get(tx, row.region, row.account, row.key_id, grant_id)
            fits = grant is not None and grantee in {None, grant.grantee}
            found = [grant] if grant is not None and fits else []
    answer: Response = {"Grants": [_entry(grant) for grant in found], "Truncated": more}
    if more:
        answer["NextMarker"] = context.next_marker(call, found[-1].grant_id)
    return answer


def _retiring(call: Call) -> str:
    params = call.params
    _check_one_of(params, "RetiringPrincipal", "RetiringServicePrincipal", needed=True)
    if "RetiringServicePrincipal" in params:
        raise errors.only_for_services("RetiringServicePrincipal")
    return principals.checked(params["RetiringPrincipal"])


def _needs_of_retirable(call: Call) -> Sequence[Need]:
    """The principal that is asked about is the resource; it is one of the caller's account."""
    retiring = _retiring(call)
    owner = principals.account_of(retiring) or call.principal.account
    resource = NamedResource(retiring, owner)
    return (Need("kms:ListRetirableGrants", resource, f"on resource: {retiring}"),)


def list_retirable_grants(context: OpsContext, call: Call) -> Response:
    """ListRetirableGrants: on keys of every account in the Region."""
    limit = limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    marker = context.marker(call)
    account, key_id, grant_id = marker.split("|") if marker else ("", "", "")
    with context.store.read() as tx:
        found, more = grants.retirable(
            tx,
            call.scope.region,
            _retiring(call),
            limit=limit,
            after=(account, key_id, grant_id),
        )
    answer: Response = {"Grants": [_entry(grant) for grant in found], "Truncated": more}
    if more:
        last = found[-1]
        answer["NextMarker"] = context.next_marker(
            call, f"{last.account}|{last.key_id}|{last.grant_id}"
        )
    return answer


# --- taking grants back --------------------------------------------------------------------------


def _of_retirement(context: OpsContext, call: Call) -> tuple[Key, ...]:
    """The key of the grant that GrantToken names, or KeyId and GrantId; and the grant itself."""
    params, scope = call.params, call.scope
    if "GrantToken" in params:
        if "KeyId" in params or "GrantId" in params:
            raise errors.validation(
                "You must specify either a GrantToken, or a KeyId and a GrantId, but not both."
            )
        account, key_id, grant_id = granttokens.read(context, scope.region, params["GrantToken"])
        key = context.directory.resolve(scope, arn.key_arn(scope.region, account, key_id))
    else:
        if "KeyId" not in params or "GrantId" not in params:
            raise errors.validation(
                "You must specify either a GrantToken, or both a KeyId and a GrantId."
            )
        reference, grant_id = params["KeyId"], params["GrantId"]
        if arn.is_alias(reference):
            raise errors.aliases_not_supported()
        if not reference.startswith("arn:"):
            raise errors.invalid_arn(reference)
        _check_grant_id(grant_id)
        key = context.directory.resolve_key_id(scope, reference)
    with context.store.read() as tx:
        grant = grants.get(tx, key.row.region, key.row.account, key.row.key_id, grant_id)
    if grant is None:
        missing = errors.grant_not_found(grant_id)
        # Who may not know of the key learns no more of its grants.
        raise missing if call.principal.account == key.account else ForeignResource(missing)
    call.grant = grant
    return (key,)


def _remove(context: OpsContext, key: Key, grant_id: str) -> None:
    row = key.row
    with context.store.write() as tx:
        if not grants.remove(tx, row.region, row.account, row.key_id, grant_id):
            raise errors.grant_not_found(grant_id)
    context.directory.touched(key)


def retire_grant(context: OpsContext, call: Call) -> Response:
    """RetireGrant: by who was given the right to, or by the accounts of the key and the grant."""
    assert call.grant is not None
    _remove(context, call.keys[0], call.grant.grant_id)
    return {}


def _check_revoke(context: OpsContext, call: Call) -> None:
    row, grant_id = call.keys[0].row, call.params["GrantId"]
    _check_grant_id(grant_id)
    with context.store.read() as tx:
        if grants.get(tx, row.region, row.account, row.key_id, grant_id) is None:
            raise errors.grant_not_found(grant_id)


def revoke_grant(context: OpsContext, call: Call) -> Response:
    """RevokeGrant."""
    _check_grant_id(call.params["GrantId"])
    _remove(context, call.keys[0], call.params["GrantId"])
    return {}


HANDLERS: Final = (
    Handler(
        "CreateGrant",
        create_grant,
        resolve=by_key_id(),
        states=states.GRANTABLE,
        check=_check_create,
    ),
    Handler("ListGrants", list_grants, resolve=by_key_id(), states=states.ANY),
    Handler("ListRetirableGrants", list_retirable_grants, needs=_needs_of_retirable),
    Handler(
        "RetireGrant",
        retire_grant,
        resolve=_of_retirement,
        decide=authorisation.retirement,
        states=states.ANY,
    ),
    Handler(
        "RevokeGrant",
        revoke_grant,
        resolve=by_key_id(),
        states=states.ANY,
        check=_check_revoke,
    ),
)
