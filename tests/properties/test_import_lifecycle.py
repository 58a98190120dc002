"""The life of imported key material against a small model of it: imports, expiry, rotation.

The model is written from AWS's documentation and knows nothing of the code. Materials are told
apart by a number; which id the KMS gives to one in a key is learned once, and must never change.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from tests.properties.machines import DAY, KmsMachine, explore, refusal, time_of

from clavero import Quotas

HOUR = 3_600
MATERIALS = tuple(bytes([number]) * 32 for number in range(1, 5))
NUMBERS = st.sampled_from(range(len(MATERIALS)))
MESSAGE = b"data of an imported key"
UNKNOWN = "0" * 64
QUOTAS = Quotas(on_demand_rotations=2)
MOST_KEYS = 4
SYMMETRIC, HMAC = "SYMMETRIC_DEFAULT", "HMAC_256"
USAGES = {SYMMETRIC: "ENCRYPT_DECRYPT", HMAC: "GENERATE_VERIFY_MAC"}
NEW, EXISTING = "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@dataclass
class ModelMaterial:
    """One material of a key; it may be missing while the key still knows it."""

    number: int
    role: str
    there: bool = False
    valid_to: float | None = None
    description: str | None = None
    rotated: float | None = None


@dataclass
class ModelKey:
    """What AWS says of a key whose material is imported."""

    spec: str
    enabled: bool = False
    due: float | None = None
    materials: list[ModelMaterial] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)
    rotations: int = 0

    def find(self, number: int) -> ModelMaterial | None:
        return next((each for each in self.materials if each.number == number), None)

    def of_role(self, role: str) -> ModelMaterial | None:
        return next((each for each in self.materials if each.role == role), None)

    @property
    def lasting(self) -> list[ModelMaterial]:
        return [each for each in self.materials if each.role != "PENDING_ROTATION"]

    @property
    def complete(self) -> bool:
        return bool(self.lasting) and all(each.there for each in self.lasting)

    @property
    def state(self) -> str:
        if self.due is not None:
            return "PendingDeletion"
        if not self.complete:
            return "PendingImport"
        return "Enabled" if self.enabled else "Disabled"

    def lose(self, material: ModelMaterial) -> None:
        """It was deleted or has expired: without all its material the key is of no use."""
        material.there, material.valid_to = False, None
        if not self.complete:
            self.enabled = False


@dataclass(frozen=True)
class Sealed:
    """What a key made of the message, and by which material."""

    key: str
    data: bytes
    number: int


@dataclass(frozen=True)
class Parameters:
    """GetParametersForImport's answer, which serves until it has expired."""

    token: bytes
    public_key: Any
    valid_to: float


class Machine(KmsMachine):
    """Imports into some keys, few enough for chance to meet their materials again."""

    quotas = QUOTAS

    keys = Bundle("keys")
    sealed = Bundle("sealed")

    @initialize(target=keys, durable=st.booleans())
    def open(self, durable):
        self.begin(durable=durable)
        self.model: dict[str, ModelKey] = {}
        self.parameters: dict[str, Parameters] = {}
        first, second = self.create(SYMMETRIC), self.create(SYMMETRIC)
        for number in (0, 1):
            self.give_new_and_rotate(first, number)
        return multiple(first, second)

    def code(self, key: str, *allowed: str) -> str | None:
        """How an operation answers that runs in these key states."""
        found = self.model.get(key)
        return refusal(None if found is None else found.state, *allowed)

    # --- keys ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model) < MOST_KEYS)
    @rule(target=keys, spec=st.sampled_from([SYMMETRIC, HMAC]))
    def make(self, spec):
        return self.create(spec)

    def create(self, spec: str) -> str:
        made = self.client.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=USAGES[spec])
        key: str = made["KeyMetadata"]["KeyId"]
        self.model[key] = ModelKey(spec)
        return key

    @rule(key=keys, enabled=st.booleans())
    def switch(self, key, enabled):
        method = self.client.enable_key if enabled else self.client.disable_key
        code = self.code(key, "Enabled", "Disabled")
        self.expect(code, method, KeyId=key)
        if code is None:
            self.model[key].enabled = enabled

    @rule(key=keys)
    def schedule(self, key):
        code = self.code(key, "Enabled", "Disabled", "PendingImport")
        self.expect(code, self.client.schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
        if code is None:
            self.model[key].due = self.clock.now() + 7 * DAY

    @rule(key=keys)
    def cancel(self, key):
        code = self.code(key, "PendingDeletion")
        if code == "DisabledException":
            code = "KMSInvalidStateException"
        self.expect(code, self.client.cancel_key_deletion, KeyId=key)
        if code is None:
            found = self.model[key]
            found.due, found.enabled = None, False

    # --- imports ---------------------------------------------------------------------------------

    def parameters_of(self, key: str) -> Parameters:
        """The key's last parameters, whether they have expired or not: making others is slow."""
        if key not in self.parameters:
            made = self.client.get_parameters_for_import(
                KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
            )
            assert made["ParametersValidTo"] == time_of(self.clock.now() + DAY)
            self.parameters[key] = Parameters(
                made["ImportToken"],
                load_der_public_key(made["PublicKey"]),
                made["ParametersValidTo"].timestamp(),
            )
        return self.parameters[key]

    @rule(key=keys)
    def get_parameters(self, key):
        code = self.code(key, "Enabled", "Disabled", "PendingImport")
        if code == "DisabledException":
            code = "KMSInvalidStateException"
        if code is None:
            self.parameters_of(key)
        else:
            self.expect(
                code,
                self.client.get_parameters_for_import,
                KeyId=key,
                WrappingAlgorithm="RSAES_OAEP_SHA_256",
                WrappingKeySpec="RSA_2048",
            )

    @rule(
        key=keys,
        number=NUMBERS,
        kind=st.sampled_from([None, NEW, NEW, EXISTING]),
        hours=st.sampled_from([None, None, None, 1, 30, 200, 0, -1, 366 * 24]),
        named=st.sampled_from([None, None, None, *range(len(MATERIALS)), UNKNOWN]),
        description=st.sampled_from([None, None, "one", "two"]),
    )
    def give_any(self, key, number, kind, hours, named, description):
        """ImportKeyMaterial with all that a request may say of the material."""
        self.give(key, number, kind, hours, named, description)

    def give(
        self,
        key: str,
        number: int,
        kind: str | None,
        hours: int | None,
        named: int | str | None,
        description: str | None,
    ) -> None:
        found = self.model.get(key)
        if isinstance(named, int):
            named = found.ids.get(named) if found is not None else None
        params: dict[str, Any] = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
        valid_to = None
        if hours is not None:
            valid_to = float(self.clock.now() // 1) + hours * HOUR
            # Parts of a second do not count
            params = {"ValidTo": time_of(valid_to + 0.75)}
        given = {
            "ImportType": kind,
            "KeyMaterialId": named,
            "KeyMaterialDescription": description,
        }
        params |= {name: value for name, value in given.items() if value is not None}
        self.import_(key, number, params, valid_to)

    @rule(key=keys, number=NUMBERS)
    def give_back(self, key, number):
        """What is missing, which chance would seldom find."""
        found = self.model.get(key)
        missing = [each.number for each in found.materials if not each.there] if found else []
        for each in missing or [number]:
            self.import_(key, each, {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}, None)

    @rule(key=keys, hours=st.sampled_from([None, 1]), rotate=st.booleans())
    def give_unknown(self, key, hours, rotate):
        """Material that the key does not know, while there is any: left waiting, or rotated."""
        found = self.model.get(key)
        unknown = [each for each in range(len(MATERIALS)) if found and found.find(each) is None]
        number = unknown[0] if unknown else 0
        if rotate:
            self.give_new_and_rotate(key, number)
        elif hours is not None:
            self.give(key, number, NEW, hours, None, "one")
        else:
            self.give(key, number, NEW, None, None, None)

    def give_new_and_rotate(self, key: str, number: int) -> None:
        params = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "ImportType": NEW}
        self.import_(key, number, params, None)
        self.rotate_on_demand(key)

    def import_(
        self, key: str, number: int, params: dict[str, Any], valid_to: float | None
    ) -> None:
        now = self.clock.now()
        found = self.model.get(key)
        if found is None or found.due is not None:
            self.expect(
                "NotFoundException" if found is None else "KMSInvalidStateException",
                self.client.import_key_material,
                KeyId=key,
                ImportToken=b"token",
                EncryptedKeyMaterial=b"material",
                **params,
            )
            return
        used = self.parameters_of(key)
        code = self.refused_params(found, params, valid_to, now)
        expired = code is None and now >= used.valid_to
        if expired:
            code = "ExpiredImportTokenException"
            del self.parameters[key]  # so that the next import gets others
        if code is None:
            code = self.refused_material(found, number, params)
        answer = self.expect(
            code,
            self.client.import_key_material,
            KeyId=key,
            ImportToken=used.token,
            EncryptedKeyMaterial=used.public_key.encrypt(MATERIALS[number], OAEP),
            **params,
        )
        if code is not None:
            return
        material = found.find(number)
        if material is None:
            role = "PENDING_ROTATION" if found.materials else "CURRENT"
            material = ModelMaterial(number, role)
            found.materials.append(material)
        material.there, material.valid_to = True, valid_to
        material.description = params.get("KeyMaterialDescription", material.description)
        if found.complete:
            found.enabled = True
        if found.spec == HMAC:
            assert "KeyMaterialId" not in answer
            return
        known = found.ids.setdefault(number, answer["KeyMaterialId"])
        assert answer["KeyMaterialId"] == known
        assert len(set(found.ids.values())) == len(found.ids)

    @staticmethod
    def refused_params(
        found: ModelKey, params: dict[str, Any], valid_to: float | None, now: float
    ) -> str | None:
        """The refusal of what the request says, whichever material it brings."""
        of_symmetric = {"ImportType", "KeyMaterialId", "KeyMaterialDescription"} & set(params)
        contradicts = params.get("ImportType") == NEW and "KeyMaterialId" in params
        bad_date = valid_to is not None and not now < valid_to <= now + 365 * DAY
        if (found.spec == HMAC and of_symmetric) or contradicts or bad_date:
            return "ValidationException"
        return None

    @staticmethod
    def refused_material(found: ModelKey, number: int, params: dict[str, Any]) -> str | None:
        """The refusal of material that the key has already, or of other than it had."""
        kind = params.get("ImportType") or (EXISTING if found.materials else NEW)
        known = found.find(number)
        if kind == NEW:
            if known is not None:
                return "IncorrectKeyMaterialException"
            waits = found.of_role("PENDING_ROTATION") is not None
            return "KMSInvalidStateException" if waits else None
        named = params.get("KeyMaterialId")
        if known is None or named not in {None, found.ids.get(number)}:
            return "IncorrectKeyMaterialException"
        return None

    @rule(key=keys, data=st.data())
    def delete_material(self, key, data):
        found = self.model.get(key)
        code = None if found is not None else "NotFoundException"
        known = [each.number for each in found.materials] if found is not None else []
        which = data.draw(st.sampled_from([None, *known, UNKNOWN]))
        params = {}
        target = found.of_role("CURRENT") if found is not None else None
        if which is not None:
            target = found.find(which) if found is not None and which != UNKNOWN else None
            params["KeyMaterialId"] = UNKNOWN
            if found is not None:
                params["KeyMaterialId"] = found.ids.get(which, UNKNOWN)
                if target is None or found.spec == HMAC:
                    code = "ValidationException"
        answer = self.expect(code, self.client.delete_imported_key_material, KeyId=key, **params)
        if found is None or answer is None:
            return
        if target is None or found.spec == HMAC:
            assert "KeyMaterialId" not in answer
        else:
            assert answer["KeyMaterialId"] == found.ids[target.number]
        if target is None:
            return
        if target.role == "PENDING_ROTATION":
            found.materials.remove(target)
        else:
            found.lose(target)

    @rule(key=keys)
    def rotate_on_demand(self, key):
        code = self.code(key, "Enabled")
        found = self.model.get(key)
        pending = found.of_role("PENDING_ROTATION") if found is not None else None
        if code is None and found is not None:
            if found.spec == HMAC:
                code = "UnsupportedOperationException"
            elif found.rotations == QUOTAS.on_demand_rotations:
                code = "LimitExceededException"
            elif pending is None or not pending.there:
                code = "KMSInvalidStateException"
        self.expect(code, self.client.rotate_key_on_demand, KeyId=key)
        if code is None:
            assert found is not None
            assert pending is not None
            current = found.of_role("CURRENT")
            assert current is not None
            current.role, pending.role = "NON_CURRENT", "CURRENT"
            pending.rotated = self.clock.now()
            found.rotations += 1

    # --- data ------------------------------------------------------------------------------------

    @rule(target=sealed, key=keys)
    def seal(self, key):
        code = self.code(key, "Enabled")
        found = self.model.get(key)
        if found is not None and found.spec == HMAC:
            answer = self.expect(
                code,
                self.client.generate_mac,
                KeyId=key,
                MacAlgorithm="HMAC_SHA_256",
                Message=MESSAGE,
            )
            data = answer and answer["Mac"]
        else:
            answer = self.expect(code, self.client.encrypt, KeyId=key, Plaintext=MESSAGE)
            data = answer and answer["CiphertextBlob"]
        if answer is None:
            return multiple()
        assert found is not None
        current = found.of_role("CURRENT")
        assert current is not None
        if found.spec == HMAC:
            assert data == hmac.new(MATERIALS[current.number], MESSAGE, hashlib.sha256).digest()
        return Sealed(key, data, current.number)

    @rule(made=sealed, how=st.sampled_from(["decrypt", "decrypt_many", "re_encrypt"]))
    def unseal(self, made, how):
        """By the material that it names, whatever happened since."""
        code = self.code(made.key, "Enabled")
        found = self.model.get(made.key)
        if len(made.data) == 32:
            self.expect(
                code,
                self.client.verify_mac,
                KeyId=made.key,
                MacAlgorithm="HMAC_SHA_256",
                Message=MESSAGE,
                Mac=made.data,
            )
            return
        if how == "re_encrypt":
            answer = self.expect(
                code,
                self.client.re_encrypt,
                CiphertextBlob=made.data,
                DestinationKeyId=made.key,
            )
            if answer is not None:
                assert found is not None
                current = found.of_role("CURRENT")
                assert current is not None
                assert answer["SourceKeyMaterialId"] == found.ids[made.number]
                assert answer["DestinationKeyMaterialId"] == found.ids[current.number]
            return
        if code == "NotFoundException":
            code = "InvalidCiphertextException"
        if how == "decrypt_many":
            answer = self.expect(code, self.client.decrypt_many, CiphertextBlobs=[made.data])
            assert answer is None or len(answer) == 1
            return
        answer = self.expect(code, self.client.decrypt, CiphertextBlob=made.data)
        if answer is not None:
            assert found is not None
            assert answer["Plaintext"] == MESSAGE
            assert answer["KeyMaterialId"] == found.ids[made.number]

    # --- the world around it ---------------------------------------------------------------------

    @rule(hours=st.sampled_from([0.3, 1, 5, 24, 100, 200]))
    def time_goes_by(self, hours):
        now = self.clock.advance(hours * HOUR)
        for key, found in list(self.model.items()):
            if found.due is not None and found.due <= now:
                del self.model[key]
                continue
            for material in found.materials:
                if material.valid_to is not None and material.valid_to <= now:
                    found.lose(material)

    # --- what must be so after every step --------------------------------------------------------

    @invariant()
    def keys_are_as_the_model_says(self):
        listed = {each["KeyId"] for each in self.client.list_keys()["Keys"]}
        assert listed == self.model.keys()
        for key, found in self.model.items():
            metadata = self.client.describe_key(KeyId=key)["KeyMetadata"]
            assert metadata["KeyState"] == found.state
            assert metadata["Enabled"] == (found.state == "Enabled")
            current = found.of_role("CURRENT")
            symmetric = found.spec == SYMMETRIC
            expected = found.ids[current.number] if symmetric and current is not None else None
            assert metadata.get("CurrentKeyMaterialId") == expected
            dates = [each.valid_to for each in found.lasting if each.valid_to is not None]
            assert metadata.get("ExpirationModel") == (
                expiration_model(min(dates, default=None)) if found.complete else None
            )
            date = time_of(min(dates)) if found.complete and dates else None
            assert metadata.get("ValidTo") == date
            assert not self.client.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
            if symmetric:
                self.materials_are_as_the_model_says(key, found)

    def materials_are_as_the_model_says(self, key: str, found: ModelKey) -> None:
        entries = [entry_of(found, each) for each in found.materials]
        every = self.client.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        assert [without_key(each) for each in every["Rotations"]] == entries
        rotations = self.client.list_key_rotations(KeyId=key)["Rotations"]
        assert [without_key(each) for each in rotations] == [
            entry for entry in entries if "RotationDate" in entry
        ]


def entry_of(found: ModelKey, material: ModelMaterial) -> dict[str, Any]:
    """What ListKeyRotations says of the material."""
    entry: dict[str, Any] = {
        "KeyMaterialId": found.ids[material.number],
        "KeyMaterialState": material.role,
        "ImportState": "IMPORTED" if material.there else "PENDING_IMPORT",
    }
    if material.there:
        entry["ExpirationModel"] = expiration_model(material.valid_to)
    if material.valid_to is not None:
        entry["ValidTo"] = time_of(material.valid_to)
    if material.description is not None:
        entry["KeyMaterialDescription"] = material.description
    if material.rotated is not None:
        entry |= {"RotationDate": time_of(material.rotated), "RotationType": "ON_DEMAND"}
    return entry


def without_key(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in entry if name != "KeyId"}


def expiration_model(valid_to: float | None) -> str:
    return "KEY_MATERIAL_DOES_NOT_EXPIRE" if valid_to is None else "KEY_MATERIAL_EXPIRES"


TestImportLifecycle = explore(Machine, examples=14, steps=30)
# Minutes: 2,000 steps
TestImportLifecycleLonger = pytest.mark.slow(explore(Machine, examples=60, steps=60, at_least=2000))
