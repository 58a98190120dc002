"""A change of related keys is one transaction: where its commit fails, no Region has any of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from clavero import KMS, ManualClock

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "ap-east-1"
DAY = 86_400


class Regions:
    """A durable KMS with keys in three Regions, and one multi-Region key with a replica in AWAY."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.kms = KMS(folder, clock=self.clock)
        self.take_clients()
        for client in self.clients.values():
            client.create_key()
        self.id = self.clients[HOME].create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        self.clients[HOME].replicate_key(KeyId=self.id, ReplicaRegion=AWAY)

    def take_clients(self) -> None:
        self.clients = {name: self.kms.client(region=name) for name in (HOME, AWAY, FAR)}

    def reopen(self) -> None:
        self.kms.close()
        self.kms = KMS(self.folder, clock=self.clock)
        self.take_clients()

    def seen(self) -> dict[str, Any]:
        """What a caller sees of the related keys in every Region."""
        found: dict[str, Any] = {}
        for name, client in self.clients.items():
            try:
                found[name] = [
                    client.describe_key(KeyId=self.id)["KeyMetadata"],
                    without_metadata(client.get_key_rotation_status(KeyId=self.id)),
                    client.list_key_rotations(KeyId=self.id, IncludeKeyMaterial="ALL_KEY_MATERIAL")[
                        "Rotations"
                    ],
                ]
            except client.exceptions.NotFoundException:
                found[name] = None
        return found

    @contextmanager
    def without_commits(self) -> Iterator[None]:
        """Every commit fails, as where the disk is full."""
        engine = self.kms._store._writers.engine

        def fail(_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        event.listen(engine, "commit", fail)
        try:
            yield
        finally:
            event.remove(engine, "commit", fail)


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def rotate(one: Regions) -> None:
    one.clients[HOME].rotate_key_on_demand(KeyId=one.id)


def replicate(one: Regions) -> None:
    one.clients[HOME].replicate_key(
        KeyId=one.id, ReplicaRegion=FAR, Tags=[{"TagKey": "a", "TagValue": "1"}]
    )


def enable_rotation(one: Regions) -> None:
    one.clients[HOME].enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)


def update_primary(one: Regions) -> None:
    one.clients[HOME].update_primary_region(KeyId=one.id, PrimaryRegion=AWAY)


def schedule(one: Regions) -> None:
    one.clients[HOME].schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)


@pytest.mark.parametrize("change", [rotate, replicate, enable_rotation, update_primary, schedule])
def test_a_commit_that_fails_leaves_every_region_as_it_was(
    folder, change: Callable[[Regions], None]
):
    one = Regions(folder)
    try:
        rotate(one)
        before = one.seen()
        loaded = one.kms.status()["loaded_keys"]
        with one.without_commits():
            error = one.clients[HOME].exceptions.KMSInternalException
            with pytest.raises(error, match="Nothing of this change was kept"):
                change(one)
        assert one.seen() == before
        assert one.kms.status()["loaded_keys"] == loaded, "no key stays that is in no row"
        one.reopen()
        assert one.seen() == before
        change(one)
        after = one.seen()
        assert after != before
        one.reopen()
        assert one.seen() == after
    finally:
        one.kms.close()


def test_what_is_due_and_cannot_be_committed_is_due_again(folder):
    """A rotation by the clock, and a last replica's deletion, which begins the primary's window."""
    one = Regions(folder)
    try:
        enable_rotation(one)
        before = one.seen()
        one.clock.advance(90 * DAY)
        with one.without_commits(), pytest.raises(Exception):  # noqa: B017 (any call)
            one.clients[FAR].list_keys()
        after = one.seen()
        materials = {after[name][0]["CurrentKeyMaterialId"] for name in (HOME, AWAY)}
        assert len(materials) == 1
        assert materials != {before[HOME][0]["CurrentKeyMaterialId"]}
        schedule(one)
        one.clients[AWAY].schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
        one.clock.advance(7 * DAY)
        with one.without_commits(), pytest.raises(Exception):  # noqa: B017 (any call)
            one.clients[FAR].list_keys()
        one.clock.advance(5)
        seen = one.seen()
        assert seen[AWAY] is None
        assert seen[HOME][0]["KeyState"] == "PendingDeletion"
        assert seen[HOME][0]["DeletionDate"].timestamp() == one.clock.now() + 7 * DAY
    finally:
        one.kms.close()
