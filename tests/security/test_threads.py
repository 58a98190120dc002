"""Threads: every operation beside every other, and sealing in the middle of them."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from clavero import KMS, ManualClock

SECONDS = 2.0
DAY = 86_400


@pytest.fixture(params=["memory", "folder"])
def clock_and_kms(request, folder):
    clock = ManualClock()
    with KMS(None if request.param == "memory" else folder, clock=clock) as opened:
        yield clock, opened


def run(works: list[Callable[[threading.Event], None]], seconds: float) -> list[BaseException]:
    """Run each in a thread until the time is over or one fails; give what they raised.

    Those that do not look at the event end by themselves.
    """
    stop, raised = threading.Event(), []

    def guarded(work: Callable[[threading.Event], None]) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 (given to the test)
            raised.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return raised


def test_eight_threads_mix_all_operations_and_then_the_hsm_is_sealed(clock_and_kms):
    clock, kms = clock_and_kms
    stable = [kms.client().create_key()["KeyMetadata"] for _ in range(3)]
    counts = [0] * 8

    def data(number: int) -> Callable[[threading.Event], None]:
        """Encrypt, decrypt and re-encrypt, with the right plaintext every time."""
        client, generator = kms.client(), random.Random(number)

        def work(stop: threading.Event) -> None:
            while not stop.is_set():
                key, other = generator.sample(stable, 2)
                plaintext = generator.randbytes(generator.randrange(1, 200))
                context = {"n": str(generator.random())}
                sealed = client.encrypt(
                    KeyId=key["Arn"], Plaintext=plaintext, EncryptionContext=context
                )
                moved = client.re_encrypt(
                    CiphertextBlob=sealed["CiphertextBlob"],
                    SourceEncryptionContext=context,
                    DestinationKeyId=other["KeyId"],
                )
                assert moved["SourceKeyId"] == key["Arn"]
                opened = client.decrypt(CiphertextBlob=moved["CiphertextBlob"])
                assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, other["Arn"])
                assert opened["KeyMaterialId"] == other["CurrentKeyMaterialId"]
                counts[number] += 1

        return work

    def batches(stop: threading.Event) -> None:
        client = kms.client()
        while not stop.is_set():
            with client.generate_data_keys(
                KeyId=stable[0]["KeyId"], NumberOfKeys=300, KeySpec="AES_256"
            ) as batch:
                opened = client.decrypt_many(batch.ciphertext)
                assert (opened.array() == batch.plaintext).all()
            counts[3] += 1

    def lives(stop: threading.Event) -> None:
        """Keys made, used, switched off, deleted by the clock; their blobs open and then do not."""
        client = kms.client()
        while not stop.is_set():
            key = client.create_key()["KeyMetadata"]["KeyId"]
            blob = client.encrypt(KeyId=key, Plaintext=b"life")["CiphertextBlob"]
            client.disable_key(KeyId=key)
            with pytest.raises(client.exceptions.DisabledException):
                client.decrypt(CiphertextBlob=blob)
            client.enable_key(KeyId=key)
            assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"life"
            client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
            clock.advance(7 * DAY)
            with pytest.raises(client.exceptions.InvalidCiphertextException):
                client.decrypt(CiphertextBlob=blob)
            counts[4] += 1

    def aliases(stop: threading.Event) -> None:
        client = kms.client()
        client.create_alias(AliasName="alias/moving", TargetKeyId=stable[0]["KeyId"])
        while not stop.is_set():
            for key in stable:
                client.update_alias(AliasName="alias/moving", TargetKeyId=key["KeyId"])
                # Its own write is what this thread sees, at once
                assert client.encrypt(KeyId="alias/moving", Plaintext=b"x")["KeyId"] == key["Arn"]
            client.create_alias(AliasName="alias/short", TargetKeyId=stable[1]["KeyId"])
            client.delete_alias(AliasName="alias/short")
            with pytest.raises(client.exceptions.NotFoundException):
                client.describe_key(KeyId="alias/short")
            counts[5] += 1

    def rotation(stop: threading.Event) -> None:
        while not stop.is_set():
            kms.rotate_domain_keys()
            kms.evict_idle_keys()
            counts[6] += 1

    def lists(stop: threading.Event) -> None:
        client = kms.client()
        while not stop.is_set():
            listed = {each["KeyId"] for each in client.list_keys(Limit=1000)["Keys"]}
            assert {each["KeyId"] for each in stable} <= listed
            client.list_aliases()
            kms.status()
            counts[7] += 1

    works = [data(0), data(1), data(2), batches, lives, aliases, rotation, lists]
    assert run(works, SECONDS) == []
    assert all(counts), counts

    # And once more, with a seal in the middle: from then on every call is refused, as unavailable.
    client = kms.client()
    sealed = threading.Event()
    refusals: list[str] = []

    def until_refused(operation: int) -> Callable[[threading.Event], None]:
        def work(stop: threading.Event) -> None:
            blob = client.encrypt(KeyId=stable[0]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
            while True:
                was_sealed = sealed.is_set()
                try:
                    match operation % 4:
                        case 0:
                            assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
                        case 1:
                            client.create_key()
                        case 2:
                            client.generate_data_keys(
                                KeyId=stable[0]["KeyId"], NumberOfKeys=500, KeySpec="AES_256"
                            )
                        case _:
                            client.list_keys()
                except ClientError as error:
                    refusals.append(error.response["Error"]["Code"])
                    return
                assert not was_sealed, "an answer after the seal"

        return work

    def sealer(stop: threading.Event) -> None:
        time.sleep(0.2)
        kms.seal()
        sealed.set()

    assert run([*map(until_refused, range(7)), sealer], 0) == []
    assert refusals == ["ServiceUnavailableException"] * 7
    with pytest.raises(ClientError, match="sealed"):
        client.list_keys()


@pytest.mark.parametrize("how", ["seal", "close"])
def test_the_end_of_a_kms_ends_a_rotation_of_domain_keys_quietly(
    clock_and_kms, monkeypatch, caplog, how
):
    """Its tokens are left to the next KMS: no reason to alarm whoever reads the log."""
    clock, kms = clock_and_kms
    client = kms.client()
    client.create_key()
    maintenance = kms._maintenance
    rewrap = maintenance._keystore.rewrap
    ended = []

    def ends_first(*given):
        getattr(kms, how)()
        ended.append(how)
        return rewrap(*given)

    monkeypatch.setattr(maintenance._keystore, "rewrap", ends_first)
    clock.advance(DAY)
    with contextlib.suppress(ClientError):  # beside the end, it is answered or refused
        client.list_keys()
    maintenance._rotating.join(10)
    assert not maintenance._rotating.is_alive()
    assert ended == [how]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("seal", "ServiceUnavailableException"),
        ("close", "KMSInternalException"),  # there is no audit log any more to put it in
    ],
)
def test_a_call_during_which_the_kms_ends_is_refused_quietly(
    clock_and_kms, monkeypatch, caplog, how, code
):
    _, kms = clock_and_kms
    client = kms.client()
    client.create_key()
    service = kms._service
    run_due = service._run_due

    def ends_first(now):
        getattr(kms, how)()
        return run_due(now)

    monkeypatch.setattr(service, "_run_due", ends_first)
    service.schedule_changed()
    with pytest.raises(ClientError) as caught:
        client.list_keys()
    assert caught.value.response["Error"]["Code"] == code
    assert caplog.records == []


def test_closing_waits_for_nobody_for_ever(folder):
    """Calls beside close() are answered or refused; nothing hangs, and the store opens again."""
    kms = KMS(folder)
    client = kms.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    refused: list[str] = []

    def work(stop: threading.Event) -> None:
        while True:
            try:
                client.create_key()
                client.generate_data_keys(KeyId=key, NumberOfKeys=100, KeySpec="AES_256")
            except ClientError as error:
                refused.append(error.response["Error"]["Code"])
                return

    def closer(stop: threading.Event) -> None:
        time.sleep(0.1)
        kms.close()

    assert run([work, work, work, closer], 0) == []
    assert set(refused) <= {"ServiceUnavailableException", "KMSInternalException"}
    with KMS(folder) as again:
        again.client().encrypt(KeyId=key, Plaintext=b"x")


def test_a_key_that_many_threads_delete_and_cancel_is_one_or_the_other(clock_and_kms):
    """The memory and the store agree after a race of changes to one key."""
    _, kms = clock_and_kms
    client = kms.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]

    def racer(method, **more) -> Callable[[threading.Event], None]:
        def work(stop: threading.Event) -> None:
            while not stop.is_set():
                try:
                    method(KeyId=key, **more)
                except client.exceptions.KMSInvalidStateException:
                    pass

        return work

    for _ in range(3):
        raised = run(
            [
                racer(client.enable_key),
                racer(client.disable_key),
                racer(client.schedule_key_deletion, PendingWindowInDays=7),
                racer(client.cancel_key_deletion),
                racer(client.update_key_description, Description="x"),
            ],
            0.4,
        )
        assert raised == []
        said = client.describe_key(KeyId=key)["KeyMetadata"]
        with kms._store.read() as tx:
            enabled, date = tx.exec_driver_sql("SELECT enabled, deletion_date FROM keys").one()
        stored = "PendingDeletion" if date is not None else ("Enabled" if enabled else "Disabled")
        assert said["KeyState"] == stored
