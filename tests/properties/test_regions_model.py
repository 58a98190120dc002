"""Related multi-Region keys against a small model of them: random steps, with time and reopening.

The model is written from AWS's documentation: one primary key, at most one related key a Region,
shared material, states of their own, and deletion in AWS's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.properties.machines import DAY, KmsMachine, explore, refusal

REGIONS = ("ap-east-1", "eu-west-1", "us-east-1")
regions = st.sampled_from(REGIONS)


@dataclass
class Member:
    """What AWS says of one of the related keys."""

    state: str = "Enabled"
    due: float | None = None
    window: int | None = None


class Machine(KmsMachine):
    """Related keys in three Regions; after each call, every Region must say what the model says."""

    durable = False

    def connect(self) -> None:
        self.clients = {name: self.kms.client(region=name) for name in REGIONS}

    @initialize(region=regions)
    def create(self, region):
        self.begin(durable=self.durable)
        self.primary = region
        made = self.clients[region].create_key(MultiRegion=True)["KeyMetadata"]
        self.key: str = made["KeyId"]
        self.material = made["CurrentKeyMaterialId"]
        self.members = {region: Member()}
        self.period: int | None = None
        self.next: float | None = None
        self.rotations = 0
        self.blobs: list[tuple[bytes, bytes]] = []

    # --- what is expected ------------------------------------------------------------------------

    def call(self, region: str, method: str, code: str | None, **params: Any) -> Any:
        """Call; the answer, or None where it was refused with the code that the model knows."""
        return self.expect(code, getattr(self.clients[region], method), KeyId=self.key, **params)

    def state(self, region: str) -> str | None:
        member = self.members.get(region)
        return None if member is None else member.state

    def usable(self, region: str) -> str | None:
        """The refusal of what needs an enabled key."""
        return refusal(self.state(region), "Enabled")

    def alive(self, region: str) -> str | None:
        """The refusal of what a key that waits for its deletion cannot have done to it."""
        return refusal(self.state(region), "Enabled", "Disabled")

    def of_primary(self, region: str, otherwise: str) -> str | None:
        """The refusal of what only an enabled primary key can do."""
        return self.usable(region) or (otherwise if region != self.primary else None)

    # --- calls -----------------------------------------------------------------------------------

    @rule(source=regions, to=regions)
    def replicate(self, source, to):
        code = self.of_primary(source, "UnsupportedOperationException")
        if code is None and to == source:
            code = "ValidationException"
        if code is None and to in self.members:
            code = "AlreadyExistsException"
        answer = self.call(source, "replicate_key", code, ReplicaRegion=to)
        if answer is not None:
            assert answer["ReplicaKeyMetadata"]["KeyState"] == "Creating"
            self.members[to] = Member()

    @rule(source=regions, to=regions)
    def promote(self, source, to):
        code = self.usable(source)
        if code is None and to in self.members:
            code = self.usable(to)
        if code is None and source != self.primary:
            code = "KMSInvalidStateException"
        if code is None and to not in self.members:
            code = "ValidationException"
        if self.call(source, "update_primary_region", code, PrimaryRegion=to) is not None:
            self.primary = to

    @rule(region=regions, enabled=st.booleans())
    def enable(self, region, enabled):
        method = "enable_key" if enabled else "disable_key"
        if self.call(region, method, self.alive(region)) is not None:
            self.members[region].state = "Enabled" if enabled else "Disabled"
            self.rotate_due()

    @rule(region=regions, days=st.integers(7, 30))
    def schedule(self, region, days):
        answer = self.call(
            region, "schedule_key_deletion", self.alive(region), PendingWindowInDays=days
        )
        if answer is None:
            return
        member = self.members[region]
        member.window = days
        if region == self.primary and len(self.members) > 1:
            member.state = "PendingReplicaDeletion"
            assert "DeletionDate" not in answer
        else:
            member.state, member.due = "PendingDeletion", self.clock.now() + days * DAY
            assert answer["DeletionDate"].timestamp() == member.due
        assert answer["KeyState"] == member.state

    @rule(region=regions)
    def cancel(self, region):
        member = self.members.get(region)
        code = None if member is not None else "NotFoundException"
        if member is not None and member.window is None:
            code = "KMSInvalidStateException"
        if self.call(region, "cancel_key_deletion", code) is not None:
            self.members[region] = Member("Disabled")

    @rule(region=regions)
    def rotate(self, region):
        code = self.of_primary(region, "UnsupportedOperationException")
        if code is None and self.next is not None and self.next <= self.clock.now() + 1200:
            code = "ConflictException"
        if code is None and self.rotations == 25:
            code = "LimitExceededException"
        if self.call(region, "rotate_key_on_demand", code) is not None:
            self.rotations += 1
            self.new_material()

    @rule(region=regions, days=st.sampled_from([None, 90, 100]))
    def automatic(self, region, days):
        code = self.usable(region)
        if region != self.primary and region in self.members:
            code = "UnsupportedOperationException"  # what a key is comes before its state
        if days is None:
            if self.call(region, "disable_key_rotation", code) is not None:
                self.period = self.next = None
        else:
            given = {"RotationPeriodInDays": days}
            done = self.call(region, "enable_key_rotation", code, **given) is not None
            if done and self.period != days:
                self.period, self.next = days, self.clock.now() + days * DAY

    @rule(region=regions, text=st.binary(min_size=1, max_size=4))
    def encrypt(self, region, text):
        answer = self.call(region, "encrypt", self.usable(region), Plaintext=text)
        if answer is not None:
            self.blobs.append((answer["CiphertextBlob"], text))

    @rule(days=st.sampled_from([0, 1, 7, 30, 100]), seconds=st.sampled_from([0, 1]))
    def advance(self, days, seconds):
        self.clock.advance(days * DAY + seconds)
        now = self.clock.now()
        for region in [name for name, each in self.members.items() if each.due and each.due <= now]:
            del self.members[region]
        last = self.members.get(self.primary)
        if last is not None and last.state == "PendingReplicaDeletion" and len(self.members) == 1:
            assert last.window is not None
            last.state, last.due = "PendingDeletion", now + last.window * DAY
        self.rotate_due()

    def rotate_due(self) -> None:
        now = self.clock.now()
        primary = self.members.get(self.primary)
        if self.next is None or self.next > now or primary is None or primary.state != "Enabled":
            return
        assert self.period is not None
        following = self.next + self.period * DAY
        self.next = following if following > now else now + self.period * DAY
        self.new_material()

    def new_material(self) -> None:
        found = self.clients[self.primary].describe_key(KeyId=self.key)["KeyMetadata"]
        assert found["CurrentKeyMaterialId"] != self.material
        self.material = found["CurrentKeyMaterialId"]

    # --- what every Region says ------------------------------------------------------------------

    @invariant()
    def every_region_agrees(self):
        replicas = [name for name in REGIONS if name in self.members and name != self.primary]
        for region, client in self.clients.items():
            member = self.members.get(region)
            if member is None:
                self.call(region, "describe_key", "NotFoundException")
                continue
            found = client.describe_key(KeyId=self.key)["KeyMetadata"]
            assert found["KeyState"] == member.state
            date = found.get("DeletionDate")
            assert (None if date is None else date.timestamp()) == member.due
            waits = member.state == "PendingReplicaDeletion"
            assert found.get("PendingDeletionWindowInDays") == (member.window if waits else None)
            assert found["CurrentKeyMaterialId"] == self.material
            shown = found["MultiRegionConfiguration"]
            assert shown["MultiRegionKeyType"] == (
                "PRIMARY" if region == self.primary else "REPLICA"
            )
            assert shown["PrimaryKey"]["Region"] == self.primary
            assert [each["Region"] for each in shown["ReplicaKeys"]] == replicas
            status = client.get_key_rotation_status(KeyId=self.key)
            on = self.period is not None and member.due is None
            assert status["KeyRotationEnabled"] is on
            if on:
                assert status["NextRotationDate"].timestamp() == self.next
            if member.state == "Enabled":
                for blob, text in self.blobs[-3:] + self.blobs[:2]:
                    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == text


class DurableMachine(Machine):
    """The same over a folder that is closed and opened again."""

    durable = True


TestRelatedKeys = explore(Machine, examples=30, steps=45)
# Half a minute on a busy machine: 2,000 steps, with reopening
TestRelatedKeysLonger = pytest.mark.slow(
    explore(DurableMachine, examples=60, steps=72, at_least=2000)
)
