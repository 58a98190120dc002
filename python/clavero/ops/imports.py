"""GetParametersForImport, ImportKeyMaterial and DeleteImportedKeyMaterial.

Material comes wrapped under a key of the HSM's and is unwrapped in there: no plaintext of it is
ever in this process's Python. Its id follows from the key and the material, so that the same
material comes back under the id that its old ciphertexts name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from sqlalchemy import Connection

from clavero.keystores.binding import Binding
from clavero.keystores.native import FreshMaterial, material_id, token_domain_key
from clavero.model import errors, import_errors, specs
from clavero.ops import importtokens, related, states
from clavero.ops.call import Call, Response, as_bytes
from clavero.ops.context import OpsContext, epoch_of, timestamp
from clavero.ops.directory import Key
from clavero.ops.materials import (
    DOES_NOT_EXPIRE,
    EXPIRES,
    EXTERNAL,
    current_of,
    pending_of,
    settle,
)
from clavero.ops.registry import Handler, by_key_id
from clavero.store import keys, materials, regions, versions
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

NEW: Final = "NEW_KEY_MATERIAL"
EXISTING: Final = "EXISTING_KEY_MATERIAL"
# AWS KMS API reference, ImportKeyMaterial: "The maximum value is 365 days from the request date".
LONGEST: Final = 365 * 86_400
_ONLY_FOR_SYMMETRIC: Final = ("ImportType", "KeyMaterialId", "KeyMaterialDescription")


def _external(call: Call, allowed: frozenset[str]) -> Key:
    """The call's key, in an allowed state; that its origin is another is said first."""
    key = call.keys[0]
    if key.row.origin != EXTERNAL:
        raise errors.key_origin(key.arn, key.row.origin)
    state = key.state_at(call.time)
    if state not in allowed:
        raise states.refusal(call.operation.name, key, state)
    return key


def get_parameters_for_import(context: OpsContext, call: Call) -> Response:
    """GetParametersForImport: a new wrapping key each time. Making it takes 0.1 to some seconds."""
    key = _external(call, states.NOT_DELETED)
    algorithm = call.params["WrappingAlgorithm"]
    wrapping_spec = call.params["WrappingKeySpec"]
    specs.check_wrapping(key.row.spec, algorithm, wrapping_spec)
    made = importtokens.make(context.keystore, key.row, algorithm, wrapping_spec, call.time)
    return {
        "KeyId": key.arn,
        "ImportToken": made.token,
        "PublicKey": made.public_key,
        "ParametersValidTo": timestamp(made.valid_to),
    }


# --- importing -----------------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """What the request says of the material."""

    kind: str | None
    material_id: str | None
    description: str | None
    valid_to: float | None


def _wanted(call: Call, row: KeyRow) -> _Wanted:
    params = call.params
    for member in _ONLY_FOR_SYMMETRIC:
        if member in params and row.spec != specs.SYMMETRIC_DEFAULT:
            raise import_errors.only_for_symmetric(member[0].lower() + member[1:], row.spec)
    kind = params.get("ImportType")
    if kind == NEW and "KeyMaterialId" in params:
        raise import_errors.id_of_new_material()
    if row.is_replica:  # its material is its primary key's
        if kind == NEW:
            raise import_errors.new_material_of_replica()
        if "KeyMaterialDescription" in params:
            raise import_errors.description_of_replica()
    return _Wanted(
        kind,
        params.get("KeyMaterialId"),
        params.get("KeyMaterialDescription"),
        _valid_to(call),
    )


def _valid_to(call: Call) -> float | None:
    """When the material expires, to the second, as AWS keeps it; None where it does not."""
    given = call.params.get("ValidTo")
    if call.params.get("ExpirationModel", EXPIRES) == DOES_NOT_EXPIRE:
        if given is not None:
            raise import_errors.valid_to_refused()
        return None
    if given is None:
        raise import_errors.valid_to_required()
    seconds = epoch_of(given)
    if seconds > call.time + LONGEST:
        raise import_errors.valid_to_far()
    whole = float(seconds // 1)
    if whole <= call.time:
        raise import_errors.valid_to_past()
    return whole


def import_key_material(context: OpsContext, call: Call) -> Response:
    """ImportKeyMaterial. With all its material, the key is enabled, whatever it was before."""
    key = _external(call, states.NOT_DELETED)
    wanted = _wanted(call, key.row)
    params = call.params
    wrapping = importtokens.opened(
        context.keystore, key.row, as_bytes(params["ImportToken"]), call.time
    )
    wrapped = as_bytes(params["EncryptedKeyMaterial"])
    row = key.row
    named = (row.region, row.account, row.key_id)
    binding = Binding.of(row)
    # Once to see which material it is, and then under the id that it has.
    seen = context.keystore.take(wrapping, wrapped, binding)
    context.keystore.discard(seen)
    with context.directory.order:
        with context.store.write() as tx:
            stored = keys.get(tx, *named)
            if stored is None:
                raise errors.key_not_found(key.arn)
            if stored.pending_window is not None:  # scheduled since the state was looked at
                raise errors.key_pending_deletion(key.arn)
            version = _place(call, key, versions.of_key(tx, *named), wanted, seen)
            made = context.keystore.take(wrapping, wrapped, binding, version.hbkid)
            # Where it is in memory already it is the same key; else it is loaded when asked for.
            context.keystore.discard(made)
            version = replace(
                version,
                token=made.token,
                domain_key_id=token_domain_key(made.token),
                public_key=made.public_key,
            )
            materials.put(tx, version)
            _hand_on(context, tx, stored, version)
            settled = settle(tx, stored, enable=True)
        context.directory.materials_changed(*settled)
    context.schedule_changed()
    return _answer(key, version)


def _same(version: VersionRow, seen: FreshMaterial) -> bool:
    """Whether it is the version's material, there or missing.

    A pair is told by its public key, which has one encoding only, where private keys have several.
    """
    if seen.public_key is not None and version.public_key is not None:
        return version.public_key == seen.public_key
    return version.fingerprint == seen.fingerprint


def _place(
    call: Call, key: Key, rows: Sequence[VersionRow], wanted: _Wanted, seen: FreshMaterial
) -> VersionRow:
    """The version that the material is to be, new or known; refused as AWS does, if it is none."""
    row = key.row
    known = next((version for version in rows if _same(version, seen)), None)
    kind = wanted.kind or (EXISTING if rows or row.is_replica else NEW)
    if kind == NEW:
        if known is not None:
            raise import_errors.material_known(known.material_id, key.arn)
        version = _new_version(call, row, rows, seen)
        pending = pending_of(rows)
        if pending is not None:
            raise import_errors.material_pending(version.material_id, key.arn, pending.material_id)
    else:
        current = current_of(rows)
        if current is None:
            raise import_errors.no_material_before(key.arn)
        expected = wanted.material_id or current.material_id
        if known is None or wanted.material_id not in {None, known.material_id}:
            raise import_errors.other_material(expected)
        version = known
    return replace(
        version,
        import_state=materials.IMPORTED,
        expiration_model=DOES_NOT_EXPIRE if wanted.valid_to is None else EXPIRES,
        valid_to=wanted.valid_to,
        description=wanted.description or version.description,
    )


def _new_version(
    call: Call, row: KeyRow, rows: Sequence[VersionRow], seen: FreshMaterial
) -> VersionRow:
    """A version for material that the key never had: the first one is current at once."""
    named = f"clavero imported material|{row.account}|{row.key_id}|".encode()
    told_by = seen.public_key or seen.fingerprint or b""
    hbkid = hashlib.sha256(named + told_by).digest()[:16]
    return VersionRow(
        region=row.region,
        hbkid=hbkid,
        account=row.account,
        key_id=row.key_id,
        token=None,
        domain_key_id=None,
        material_id=material_id(hbkid),
        created=call.time,
        number=rows[-1].number + 1 if rows else 1,
        state=materials.PENDING_ROTATION if rows else "CURRENT",
        fingerprint=seen.fingerprint,
    )


def _hand_on(context: OpsContext, tx: Connection, primary: KeyRow, version: VersionRow) -> None:
    """Have the replicas of a primary key know its material, so that it can be imported there."""
    for replica in regions.replicas(tx, primary):
        own = versions.get(tx, replica.region, version.hbkid)
        known = related.version_for(context.keystore, primary, version, replica.region)
        if own is not None:
            known = replace(
                own,
                description=version.description,
                fingerprint=own.fingerprint or known.fingerprint,
            )
        materials.put(tx, known)


def _answer(key: Key, version: VersionRow | None) -> Response:
    answer: Response = {"KeyId": key.arn}
    if version is not None and key.row.spec == specs.SYMMETRIC_DEFAULT:
        answer["KeyMaterialId"] = version.material_id
    return answer


# --- deleting ------------------------------------------------------------------------------------


def delete_imported_key_material(context: OpsContext, call: Call) -> Response:
    """DeleteImportedKeyMaterial: of the current material, unless the request names another.

    What waits for a rotation leaves the key altogether; for all else, the same can be imported
    again.
    """
    key = _external(call, states.ANY)
    row = key.row
    named = (row.region, row.account, row.key_id)
    wanted = call.params.get("KeyMaterialId")
    if wanted is not None and row.spec != specs.SYMMETRIC_DEFAULT:
        raise import_errors.only_for_symmetric("keyMaterialId", row.spec)
    with context.directory.order:
        with context.store.write() as tx:
            stored = keys.get(tx, *named)
            if stored is None:
                raise errors.key_not_found(key.arn)
            rows = versions.of_key(tx, *named)
            version = current_of(rows)
            if wanted is not None:
                version = next((each for each in rows if each.material_id == wanted), None)
                if version is None:
                    raise import_errors.material_unknown(wanted, key.arn)
            if version is None:
                return _answer(key, None)
            # What waits for a rotation goes from the replicas too, and never from a replica alone.
            holders = [stored]
            if version.state == materials.PENDING_ROTATION and not stored.is_replica:
                holders += regions.replicas(tx, stored)
                for each in holders:
                    own = versions.get(tx, each.region, version.hbkid)
                    if own is not None:
                        materials.remove(tx, own)
            else:
                materials.erase(tx, version)
            settled = [settle(tx, each) for each in holders]
        gone = [
            old
            for each in settled
            for old in context.directory.materials_changed(*each, gone=(version.hbkid,))
        ]
    for old in gone:
        context.keystore.unload(old)
    context.store.checkpoint()  # so that no token stays in the write-ahead log
    context.schedule_changed()
    return _answer(key, version)


HANDLERS: Final = (
    Handler(
        "GetParametersForImport", get_parameters_for_import, resolve=by_key_id(), states=states.ANY
    ),
    Handler("ImportKeyMaterial", import_key_material, resolve=by_key_id(), states=states.ANY),
    Handler(
        "DeleteImportedKeyMaterial",
        delete_imported_key_material,
        resolve=by_key_id(),
        states=states.ANY,
    ),
)
