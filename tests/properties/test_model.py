"""A KMS against a small model of one: random steps, with time, eviction, rotation and reopening.

The model is written from AWS's documentation and knows nothing of the code: which keys there are,
in which state, until when, which alias stands for which, and what each blob opens to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from tests.properties.machines import DAY, KmsMachine, explore, refusal, time_of

SCOPES: tuple[dict[str, Any], ...] = (
    {"region": "us-east-1", "account": "000000000000"},
    {"region": "us-east-1", "account": "111122223333"},
    {"region": "eu-west-1", "account": "000000000000"},
)
NAMES = ("alias/a", "alias/b/c")
contexts = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)


@dataclass
class ModelKey:
    """What AWS says of a key."""

    scope: int
    state: str = "Enabled"
    description: str = ""
    due: float | None = None


@dataclass(frozen=True)
class Blob:
    """What a blob opens to, and where."""

    key: str
    data: bytes
    plaintext: bytes
    context: tuple[tuple[str, str], ...]


@dataclass
class Model:
    """All that should be so."""

    keys: dict[str, ModelKey] = field(default_factory=dict)
    aliases: dict[tuple[int, str], str] = field(default_factory=dict)

    def expire(self, now: float) -> None:
        for key in [name for name, each in self.keys.items() if each.due and each.due <= now]:
            del self.keys[key]
            self.aliases = {name: target for name, target in self.aliases.items() if target != key}


class Machine(KmsMachine):
    """Keys and aliases of several accounts and Regions, and what was encrypted under them."""

    keys = Bundle("keys")
    blobs = Bundle("blobs")
    names = st.sampled_from(NAMES)

    @initialize(target=keys, durable=st.booleans())
    def open(self, durable):
        self.begin(durable=durable)
        self.model = Model()
        self.scope_of: dict[str, int] = {}
        return multiple(*(self.create(scope, "") for scope in (0, 0, 1, 2)))

    def connect(self) -> None:
        self.clients = [self.kms.client(**scope) for scope in SCOPES]

    def of(self, key: str) -> tuple[Any, ModelKey | None]:
        """A client of the key's account and Region, and what the model knows of the key."""
        found = self.model.keys.get(key)
        return self.clients[self.scope_of[key]], found

    @staticmethod
    def use_code(found: ModelKey | None, missing: str = "NotFoundException") -> str | None:
        """How a cryptographic operation answers."""
        return missing if found is None else refusal(found.state, "Enabled")

    @staticmethod
    def manage_code(found: ModelKey | None) -> str | None:
        """How an operation answers that every key takes but one that is to be deleted."""
        return refusal(None if found is None else found.state, "Enabled", "Disabled")

    # --- keys ------------------------------------------------------------------------------------

    @rule(target=keys, scope=st.sampled_from([0, 0, 1, 2]), description=st.sampled_from(["", "x"]))
    def create(self, scope, description):
        metadata = self.clients[scope].create_key(Description=description)["KeyMetadata"]
        key = metadata["KeyId"]
        assert metadata["AWSAccountId"] == SCOPES[scope]["account"]
        assert key not in self.model.keys
        self.model.keys[key] = ModelKey(scope, description=description)
        self.scope_of[key] = scope
        return key

    @rule(key=keys, enabled=st.booleans())
    def switch(self, key, enabled):
        client, found = self.of(key)
        method = client.enable_key if enabled else client.disable_key
        self.expect(self.manage_code(found), lambda: method(KeyId=key))
        if found is not None and found.state != "PendingDeletion":
            found.state = "Enabled" if enabled else "Disabled"

    @rule(key=keys, text=st.sampled_from(["", "x", "é"]))
    def describe_as(self, key, text):
        client, found = self.of(key)
        self.expect(
            self.manage_code(found),
            lambda: client.update_key_description(KeyId=key, Description=text),
        )
        if found is not None and found.state != "PendingDeletion":
            found.description = text

    @rule(key=keys, days=st.sampled_from([7, 7, 10, 30]))
    def schedule(self, key, days):
        client, found = self.of(key)
        answer = self.expect(
            self.manage_code(found),
            lambda: client.schedule_key_deletion(KeyId=key, PendingWindowInDays=days),
        )
        if answer is not None:
            assert found is not None
            found.state, found.due = "PendingDeletion", self.clock.now() + days * DAY
            assert answer["DeletionDate"] == time_of(found.due)

    @rule(key=keys)
    def cancel(self, key):
        client, found = self.of(key)
        code = "NotFoundException" if found is None else None
        if found is not None and found.state != "PendingDeletion":
            code = "KMSInvalidStateException"
        self.expect(code, lambda: client.cancel_key_deletion(KeyId=key))
        if code is None:
            assert found is not None
            found.state, found.due = "Disabled", None

    # --- aliases ---------------------------------------------------------------------------------

    @rule(key=keys, name=names)
    def create_alias(self, key, name):
        client, found = self.of(key)
        code = self.manage_code(found)
        if code is None and (self.scope_of[key], name) in self.model.aliases:
            code = "AlreadyExistsException"
        self.expect(code, lambda: client.create_alias(AliasName=name, TargetKeyId=key))
        if code is None:
            self.model.aliases[self.scope_of[key], name] = key

    @rule(key=keys, name=names)
    def update_alias(self, key, name):
        client, found = self.of(key)
        code = self.manage_code(found)
        if found is None or (self.scope_of[key], name) not in self.model.aliases:
            code = "NotFoundException"
        self.expect(code, lambda: client.update_alias(AliasName=name, TargetKeyId=key))
        if code is None:
            self.model.aliases[self.scope_of[key], name] = key

    @rule(scope=st.sampled_from([0, 1, 2]), name=names)
    def delete_alias(self, scope, name):
        code = None if (scope, name) in self.model.aliases else "NotFoundException"
        self.expect(code, lambda: self.clients[scope].delete_alias(AliasName=name))
        self.model.aliases.pop((scope, name), None)

    # --- data ------------------------------------------------------------------------------------

    @rule(target=blobs, key=keys, plaintext=st.binary(min_size=1, max_size=20), context=contexts)
    def encrypt(self, key, plaintext, context):
        client, found = self.of(key)
        answer = self.expect(
            self.use_code(found),
            lambda: client.encrypt(KeyId=key, Plaintext=plaintext, EncryptionContext=context),
        )
        if answer is None:
            return multiple()
        return Blob(key, answer["CiphertextBlob"], plaintext, tuple(context.items()))

    @rule(target=blobs, key=keys, context=contexts)
    def data_key(self, key, context):
        client, found = self.of(key)
        answer = self.expect(
            self.use_code(found),
            lambda: client.generate_data_key(
                KeyId=key, KeySpec="AES_128", EncryptionContext=context
            ),
        )
        if answer is None:
            return multiple()
        return Blob(key, answer["CiphertextBlob"], answer["Plaintext"], tuple(context.items()))

    @rule(target=blobs, key=keys, count=st.integers(1, 3), context=contexts)
    def batch(self, key, count, context):
        client, found = self.of(key)
        answer = self.expect(
            self.use_code(found),
            lambda: client.generate_data_keys(
                KeyId=key, NumberOfKeys=count, NumberOfBytes=24, EncryptionContext=context
            ),
        )
        if answer is None:
            return multiple()
        pairs = tuple(context.items())
        return multiple(*(Blob(key, blob, plaintext, pairs) for plaintext, blob in answer))

    @rule(blob=blobs, named=st.booleans())
    def decrypt(self, blob, named):
        client, found = self.of(blob.key)
        missing = "NotFoundException" if named else "InvalidCiphertextException"
        params = {"KeyId": blob.key} if named else {}
        answer = self.expect(
            self.use_code(found, missing),
            lambda: client.decrypt(
                CiphertextBlob=blob.data, EncryptionContext=dict(blob.context), **params
            ),
        )
        if answer is not None:
            assert answer["Plaintext"] == blob.plaintext
            assert answer["KeyId"].endswith(f"key/{blob.key}")

    @rule(blob=blobs, context=contexts)
    def decrypt_under_a_context(self, blob, context):
        client, found = self.of(blob.key)
        code = self.use_code(found, "InvalidCiphertextException")
        if code is None and dict(blob.context) != context:
            code = "InvalidCiphertextException"
        self.expect(
            code, lambda: client.decrypt(CiphertextBlob=blob.data, EncryptionContext=context)
        )

    @rule(blob=blobs, scope=st.sampled_from([0, 1, 2]))
    def decrypt_elsewhere(self, blob, scope):
        """Another account is refused; in another Region the key is not known."""
        own = self.scope_of[blob.key]
        if scope == own:
            return
        code = "InvalidCiphertextException"
        known = blob.key in self.model.keys
        if known and SCOPES[scope]["region"] == SCOPES[own]["region"]:
            code = "AccessDeniedException"
        self.expect(code, lambda: self.clients[scope].decrypt(CiphertextBlob=blob.data))

    @rule(target=blobs, blob=consumes(blobs), key=keys, context=contexts)
    def re_encrypt(self, blob, key, context):
        if self.scope_of[blob.key] != self.scope_of[key]:
            return multiple(blob)
        client, destination = self.of(key)
        source = self.model.keys.get(blob.key)
        code = "InvalidCiphertextException" if source is None else None
        if code is None and destination is None:
            code = "NotFoundException"
        code = code or self.use_code(source) or self.use_code(destination)
        answer = self.expect(
            code,
            lambda: client.re_encrypt(
                CiphertextBlob=blob.data,
                SourceEncryptionContext=dict(blob.context),
                DestinationKeyId=key,
                DestinationEncryptionContext=context,
            ),
        )
        if answer is None:
            return multiple(blob)
        moved = Blob(key, answer["CiphertextBlob"], blob.plaintext, tuple(context.items()))
        return multiple(blob, moved)

    # --- the world around it ---------------------------------------------------------------------

    @rule(days=st.sampled_from([8, 8, 1, 0.01]))
    def time_goes_by(self, days):
        self.model.expire(self.clock.advance(days * DAY))

    @rule(key=keys)
    def delete(self, key):
        """Both steps at once, which chance would seldom take one after the other."""
        self.schedule(key, 7)
        self.time_goes_by(8)

    # --- what must be so after every step --------------------------------------------------------

    @invariant()
    def lists_say_what_the_model_says(self):
        for scope, client in enumerate(self.clients):
            listed = [each["KeyId"] for each in client.list_keys()["Keys"]]
            own = {name: each for name, each in self.model.keys.items() if each.scope == scope}
            assert listed == sorted(own)
            aliases = {
                each["AliasName"]: each["TargetKeyId"]
                for each in client.list_aliases()["Aliases"]
                if "TargetKeyId" in each
            }
            assert aliases == {
                name: key for (where, name), key in self.model.aliases.items() if where == scope
            }

    @invariant()
    def keys_are_as_the_model_says(self):
        for key, expected in self.model.keys.items():
            found = self.clients[expected.scope].describe_key(KeyId=key)["KeyMetadata"]
            assert found["KeyState"] == expected.state
            assert found["Enabled"] == (expected.state == "Enabled")
            assert found["Description"] == expected.description
            date = found.get("DeletionDate")
            assert (date.timestamp() if date else None) == expected.due

    @invariant()
    def every_name_reaches_its_key_or_is_refused(self):
        """Each time by the same names, so that what was remembered of them shows."""
        for scope, client in enumerate(self.clients):
            for name in NAMES:
                key = self.model.aliases.get((scope, name))
                self.encrypt_as(client, name, key)
        for key, scope in self.scope_of.items():
            self.encrypt_as(self.clients[scope], key, key)

    def encrypt_as(self, client, name, key):
        found = None if key is None else self.model.keys.get(key)
        answer = self.expect(
            self.use_code(found), lambda: client.encrypt(KeyId=name, Plaintext=b"x")
        )
        if answer is not None:
            assert answer["KeyId"].endswith(f"key/{key}")


TestKms = explore(Machine, examples=15, steps=40)
# Minutes: 6,000 steps
TestKmsLonger = pytest.mark.slow(explore(Machine, examples=120, steps=80, at_least=6000))
