"""The life of a key against a small model of it: rotation, tags, grants, states, and a clock.

The model is written from AWS's documentation and knows nothing of the code. Key ids, grant ids and
material ids are the KMS's to choose: the model learns each once, and holds the KMS to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, multiple, rule
from tests.properties.machines import DAY, KmsMachine, explore, refusal, time_of

from clavero import Quotas

ACCOUNT = "000000000000"
QUOTAS = Quotas(tags=3, grants=3, on_demand_rotations=3, keys=6)
GRANTEES = tuple(f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob"))
OPERATIONS = {
    "SYMMETRIC_DEFAULT": (["Encrypt"], ["Decrypt", "Encrypt"]),
    "HMAC_256": (["GenerateMac"], ["GenerateMac", "VerifyMac"]),
}
TAG_KEYS = st.sampled_from(["a", "b", "c", "é"])


@dataclass
class ModelKey:
    """What AWS says of a key."""

    spec: str
    state: str = "Enabled"
    due: float | None = None
    period: int | None = None
    next_rotation: float | None = None
    materials: list[str] = field(default_factory=list)
    rotations: list[tuple[str, float]] = field(default_factory=list)
    on_demand: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    grants: dict[str, tuple[str | None, str, tuple[str, ...]]] = field(default_factory=dict)

    def rotate(self, kind: str, now: float) -> None:
        """The material's id is learned when the key is next looked at."""
        self.rotations.append((kind, now))

    def catch_up(self, now: float) -> None:
        """What the clock does to a key: one rotation, however many dates went by."""
        if self.state != "Enabled" or self.next_rotation is None or self.next_rotation > now:
            return
        assert self.period is not None
        self.rotate("AUTOMATIC", now)
        following = self.next_rotation + self.period * DAY
        self.next_rotation = following if following > now else now + self.period * DAY


@dataclass(frozen=True)
class Blob:
    """A ciphertext, and the material that it names."""

    key: str
    data: bytes
    material: str


class Machine(KmsMachine):
    """What may be done to keys whose material the KMS makes."""

    quotas = QUOTAS

    keys = Bundle("keys")
    blobs = Bundle("blobs")

    @initialize(target=keys, durable=st.booleans())
    def open(self, durable):
        self.begin(durable=durable)
        self.model: dict[str, ModelKey] = {}
        self.gone: set[str] = set()
        return multiple(self.create("SYMMETRIC_DEFAULT"), self.create("SYMMETRIC_DEFAULT"))

    def code(self, key: str, *, allowed: tuple[str, ...] = ("Enabled", "Disabled")) -> str | None:
        """How an operation answers that runs in these key states."""
        found = self.model.get(key)
        return refusal(None if found is None else found.state, *allowed)

    # --- keys ------------------------------------------------------------------------------------

    @rule(target=keys, spec=st.sampled_from(["SYMMETRIC_DEFAULT", "HMAC_256"]))
    def make(self, spec):
        if len(self.model) == QUOTAS.keys:
            usage = "GENERATE_VERIFY_MAC" if spec == "HMAC_256" else "ENCRYPT_DECRYPT"
            self.expect(
                "LimitExceededException", self.client.create_key, KeySpec=spec, KeyUsage=usage
            )
            return multiple()
        return self.create(spec)

    def create(self, spec: str) -> str:
        usage = "GENERATE_VERIFY_MAC" if spec == "HMAC_256" else "ENCRYPT_DECRYPT"
        made = self.client.create_key(
            KeySpec=spec, KeyUsage=usage, Tags=[{"TagKey": "a", "TagValue": "1"}]
        )["KeyMetadata"]
        key: str = made["KeyId"]
        assert key not in self.model
        assert key not in self.gone
        self.model[key] = ModelKey(spec, tags={"a": "1"})
        return key

    @rule(key=keys, enabled=st.booleans())
    def switch(self, key, enabled):
        method = self.client.enable_key if enabled else self.client.disable_key
        code = self.code(key)
        self.expect(code, method, KeyId=key)
        if code is None:
            found = self.model[key]
            found.state = "Enabled" if enabled else "Disabled"
            found.catch_up(self.clock.now())  # a date that went by while it was disabled

    @rule(key=keys, days=st.sampled_from([7, 30]))
    def schedule(self, key, days):
        code = self.code(key)
        self.expect(code, self.client.schedule_key_deletion, KeyId=key, PendingWindowInDays=days)
        if code is None:
            found = self.model[key]
            found.state, found.due = "PendingDeletion", self.clock.now() + days * DAY

    @rule(key=keys)
    def cancel(self, key):
        found = self.model.get(key)
        code: str | None = "NotFoundException" if found is None else "KMSInvalidStateException"
        if found is not None and found.state == "PendingDeletion":
            code = None
            found.state, found.due = "Disabled", None
        self.expect(code, self.client.cancel_key_deletion, KeyId=key)

    # --- rotation --------------------------------------------------------------------------------

    @rule(key=keys, period=st.sampled_from([None, 90, 100, 2560]))
    def enable_rotation(self, key, period):
        params = {} if period is None else {"RotationPeriodInDays": period}
        code = self.code(key, allowed=("Enabled",))
        found = self.model.get(key)
        if code is None and found is not None and found.spec != "SYMMETRIC_DEFAULT":
            code = "UnsupportedOperationException"
        self.expect(code, self.client.enable_key_rotation, KeyId=key, **params)
        if code is None:
            assert found is not None
            if found.period is None or period not in {None, found.period}:
                found.period = period or 365
                found.next_rotation = self.clock.now() + found.period * DAY

    @rule(key=keys)
    def disable_rotation(self, key):
        code = self.code(key, allowed=("Enabled",))
        self.expect(code, self.client.disable_key_rotation, KeyId=key)
        if code is None:
            self.model[key].period = self.model[key].next_rotation = None

    @rule(key=keys)
    def rotate_on_demand(self, key):
        code = self.code(key, allowed=("Enabled",))
        found = self.model.get(key)
        if code is None and found is not None:
            if found.spec != "SYMMETRIC_DEFAULT":
                code = "UnsupportedOperationException"
            elif found.next_rotation is not None and (
                found.next_rotation <= self.clock.now() + 20 * 60
            ):
                code = "ConflictException"
            elif found.on_demand == QUOTAS.on_demand_rotations:
                code = "LimitExceededException"
        self.expect(code, self.client.rotate_key_on_demand, KeyId=key)
        if code is None:
            assert found is not None
            found.rotate("ON_DEMAND", self.clock.now())
            found.on_demand += 1

    # --- tags and grants -------------------------------------------------------------------------

    @rule(key=keys, tags=st.dictionaries(TAG_KEYS, st.sampled_from(["", "1", "2"]), min_size=1))
    def tag(self, key, tags):
        code = self.code(key)
        found = self.model.get(key)
        if code is None and found is not None:
            # Too many in the request, or too many together
            if len(tags) > QUOTAS.tags:
                code = "TagException"
            elif len(found.tags.keys() | tags.keys()) > QUOTAS.tags:
                code = "LimitExceededException"
        pairs = [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
        self.expect(code, self.client.tag_resource, KeyId=key, Tags=pairs)
        if code is None:
            assert found is not None
            found.tags |= tags

    @rule(key=keys, names=st.lists(TAG_KEYS, min_size=1, max_size=2, unique=True))
    def untag(self, key, names):
        code = self.code(key)
        self.expect(code, self.client.untag_resource, KeyId=key, TagKeys=names)
        if code is None:
            for name in names:
                self.model[key].tags.pop(name, None)

    @rule(
        key=keys,
        name=st.sampled_from([None, "one", "two"]),
        grantee=st.sampled_from(GRANTEES),
        many=st.booleans(),
    )
    def grant(self, key, name, grantee, many):
        found = self.model.get(key)
        code = self.code(key, allowed=("Enabled",))
        operations = OPERATIONS[found.spec if found else "SYMMETRIC_DEFAULT"][many]
        wanted = (name, grantee, tuple(operations))
        same = None
        if found is not None and name is not None:
            same = next((each for each, has in found.grants.items() if has == wanted), None)
        if code is None and found is not None and same is None:
            code = "LimitExceededException" if len(found.grants) == QUOTAS.grants else None
        params = {} if name is None else {"Name": name}
        answer = self.expect(
            code,
            self.client.create_grant,
            KeyId=key,
            GranteePrincipal=grantee,
            Operations=operations,
            **params,
        )
        if code is None:
            assert found is not None
            assert same in {None, answer["GrantId"]}
            assert (answer["GrantId"] in found.grants) == (same is not None)
            found.grants[answer["GrantId"]] = wanted

    @rule(key=keys, data=st.data(), how=st.sampled_from(["retire", "revoke"]))
    def take_back(self, key, data, how):
        found = self.model.get(key)
        ids = sorted(found.grants) if found else []
        grant = data.draw(st.sampled_from([*ids, "0" * 64]))
        code = None if grant in ids else "NotFoundException"
        if how == "revoke":
            self.expect(code, self.client.revoke_grant, KeyId=key, GrantId=grant)
        else:
            arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key}"
            self.expect(code, self.client.retire_grant, KeyId=arn, GrantId=grant)
        if code is None:
            assert found is not None
            del found.grants[grant]

    # --- data ------------------------------------------------------------------------------------

    @rule(target=blobs, key=keys)
    def encrypt(self, key):
        code = self.code(key, allowed=("Enabled",))
        found = self.model.get(key)
        if found is not None and found.spec != "SYMMETRIC_DEFAULT":
            code = "InvalidKeyUsageException"
        answer = self.expect(code, self.client.generate_data_key, KeyId=key, KeySpec="AES_128")
        if answer is None:
            return multiple()
        return Blob(key, answer["CiphertextBlob"], answer["KeyMaterialId"])

    @rule(blob=blobs)
    def decrypt(self, blob):
        """By the material that the blob names, whatever was rotated since."""
        code = self.code(blob.key, allowed=("Enabled",))
        if code == "NotFoundException":
            code = "InvalidCiphertextException"
        answer = self.expect(code, self.client.decrypt, CiphertextBlob=blob.data)
        if answer is not None:
            assert answer["KeyMaterialId"] == blob.material
            assert answer["KeyId"].endswith(blob.key)

    # --- the world around it ---------------------------------------------------------------------

    @rule(days=st.sampled_from([0.01, 1, 8, 45, 90, 400]))
    def time_goes_by(self, days):
        now = self.clock.advance(days * DAY)
        for key, found in list(self.model.items()):
            if found.due is not None and found.due <= now:
                del self.model[key]
                self.gone.add(key)
            else:
                found.catch_up(now)

    @rule(key=keys)
    def wait_for_the_rotation(self, key):
        """To just before the date, which chance would seldom find."""
        found = self.model.get(key)
        if found is not None and found.next_rotation is not None:
            left = found.next_rotation - self.clock.now() - 600
            if left > 0:
                self.time_goes_by(left / DAY)

    # --- what must be so after every step --------------------------------------------------------

    @invariant()
    def keys_are_as_the_model_says(self):
        listed = {each["KeyId"] for each in self.client.list_keys()["Keys"]}
        assert listed == self.model.keys()
        for key, found in self.model.items():
            metadata = self.client.describe_key(KeyId=key)["KeyMetadata"]
            assert metadata["KeyState"] == found.state
            self.material_is_as_the_model_says(key, found, metadata)
            status = self.client.get_key_rotation_status(KeyId=key)
            on = found.period is not None and found.state != "PendingDeletion"
            assert status["KeyRotationEnabled"] == on
            assert status.get("RotationPeriodInDays") == (found.period if on else None)
            date = status.get("NextRotationDate")
            assert date == (time_of(found.next_rotation) if on else None)

    def material_is_as_the_model_says(self, key, found, metadata):
        rotations = self.client.list_key_rotations(KeyId=key)["Rotations"]
        assert [(each["RotationType"], each["RotationDate"]) for each in rotations] == [
            (kind, time_of(at)) for kind, at in found.rotations
        ]
        if found.spec != "SYMMETRIC_DEFAULT":
            assert "CurrentKeyMaterialId" not in metadata
            return
        current = metadata["CurrentKeyMaterialId"]
        if len(found.materials) == len(found.rotations):
            # The first material, or that of one more rotation
            assert current not in found.materials
            found.materials.append(current)
        assert len(found.materials) == len(found.rotations) + 1
        assert current == found.materials[-1]
        everything = self.client.list_key_rotations(
            KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL"
        )["Rotations"]
        assert [each["KeyMaterialId"] for each in everything] == found.materials
        assert [each["KeyMaterialState"] for each in everything] == [
            *["NON_CURRENT"] * len(found.rotations),
            "CURRENT",
        ]

    @invariant()
    def tags_and_grants_are_as_the_model_says(self):
        for key, found in self.model.items():
            tags = self.client.list_resource_tags(KeyId=key)["Tags"]
            assert {each["TagKey"]: each["TagValue"] for each in tags} == found.tags
            grants = self.client.list_grants(KeyId=key)["Grants"]
            assert {
                each["GrantId"]: (
                    each.get("Name"),
                    each["GranteePrincipal"],
                    tuple(each["Operations"]),
                )
                for each in grants
            } == found.grants
        for key in self.gone:
            self.expect("NotFoundException", self.client.list_resource_tags, KeyId=key)
            self.expect("NotFoundException", self.client.list_grants, KeyId=key)


TestLifecycle = explore(Machine, examples=8, steps=30)
# Minutes: 6,000 steps
TestLifecycleLonger = pytest.mark.slow(explore(Machine, examples=160, steps=60, at_least=6000))
