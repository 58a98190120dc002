"""The key directory caches rows: what another call changes is never answered from old ones.

Each test stops one call at the moment that matters, lets another one run, and looks.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from clavero import KMS, ManualClock
from clavero.maintenance import Watch
from clavero.ops.directory import Directory
from clavero.store import keys

HELD = 10.0


class Gate:
    """Holds the first thread that passes it until it is let go."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        if self._first.acquire(blocking=False):
            self.reached.set()
            assert self.open.wait(HELD)


@contextmanager
def background(work):
    """Run `work` beside the block; what it raised is raised at the end."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised in the test's thread)
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    yield
    thread.join(HELD)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


@pytest.fixture
def reopened(folder_with_key):
    """A KMS that has not read its key yet."""
    folder, key_id = folder_with_key
    with KMS(folder) as kms:
        yield kms, kms.client(), key_id


@pytest.fixture
def folder_with_key(tmp_path):
    with KMS(tmp_path / "data") as kms:
        key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
        kms.client().create_alias(AliasName="alias/a", TargetKeyId=key_id)
    return tmp_path / "data", key_id


def test_changes_reach_the_memory_in_the_order_of_their_commits(reopened, monkeypatch):
    """An enabling that commits first and arrives last must not undo a disabling."""
    _, client, key_id = reopened
    client.disable_key(KeyId=key_id)
    gate, changed = Gate(), Directory.changed

    def held(self, key, row):
        gate()
        changed(self, key, row)

    monkeypatch.setattr(Directory, "changed", held)
    with background(lambda: client.enable_key(KeyId=key_id)):
        assert gate.reached.wait(HELD)  # committed, and not yet in memory
        with background(lambda: client.disable_key(KeyId=key_id)):
            # The second change commits now, unless it waits for its turn as it should
            threading.Event().wait(0.3)
            gate.open.set()
    with pytest.raises(client.exceptions.DisabledException):
        client.encrypt(KeyId=key_id, Plaintext=b"x")
    assert client.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_key_that_was_found_while_aliases_changed_is_not_another_key(reopened, monkeypatch):
    """Two objects for one key, of which one is cached: a change through one shows in both."""
    kms, client, key_id = reopened
    gate, get, resolve = Gate(), keys.get, Directory.resolve_key_id
    region = kms._directory.scope("us-east-1", "000000000000").keys

    def overtaken(tx, *named):
        row = get(tx, *named)
        if not gate.reached.is_set():
            region.generation += 1  # an alias moves: what was read is not kept
        return row

    def held(self, scope, reference):
        key = resolve(self, scope, reference)
        gate()
        return key

    monkeypatch.setattr(keys, "get", overtaken)
    monkeypatch.setattr(Directory, "resolve_key_id", held)
    with background(lambda: client.disable_key(KeyId=key_id)):
        assert gate.reached.wait(HELD)  # it has an object of its own
        client.encrypt(KeyId=key_id, Plaintext=b"x")  # and this call caches another one
        gate.open.set()
    with pytest.raises(client.exceptions.DisabledException):
        client.encrypt(KeyId=key_id, Plaintext=b"x")


def test_an_old_version_that_was_found_while_keys_changed_is_of_the_cached_key(
    folder_with_key, monkeypatch
):
    """Its ciphertext names the key: were that an object of its own, no change would reach it."""
    folder, key_id = folder_with_key
    with KMS(folder) as kms:
        blob = kms.client().encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        kms.client().rotate_key_on_demand(KeyId=key_id)
    with KMS(folder) as kms:
        client, get = kms.client(), keys.get
        region = kms._directory.scope("us-east-1", "000000000000").keys

        def overtaken(tx, *named):
            region.generation += 1  # another key changes: what was read is not kept
            return get(tx, *named)

        with monkeypatch.context() as patched:
            patched.setattr(keys, "get", overtaken)
            client.decrypt(CiphertextBlob=blob)
        client.disable_key(KeyId=key_id)
        with pytest.raises(client.exceptions.DisabledException):
            client.decrypt(CiphertextBlob=blob)


def test_nothing_is_kept_of_accounts_that_have_no_key(deployment, client, refused):
    directory = deployment.kms._directory
    client.create_key()
    before = set(directory._scopes)
    for number in range(20):
        account = f"{900 + number:012d}"
        missing = f"arn:aws:kms:us-east-1:{account}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        refused("AccessDeniedException", client.encrypt, KeyId=missing, Plaintext=b"x")
        alias = f"arn:aws:kms:us-east-1:{account}:alias/a"
        refused("AccessDeniedException", client.encrypt, KeyId=alias, Plaintext=b"x")
    assert set(directory._scopes) == before


def test_a_new_key_that_is_found_before_its_maker_has_it_is_one_key(reopened, monkeypatch):
    _, client, _ = reopened
    gate, add = Gate(), Directory.add

    def held(self, row, version, handle):
        gate()
        return add(self, row, version, handle)

    monkeypatch.setattr(Directory, "add", held)
    made = {}
    with background(lambda: made.update(client.create_key()["KeyMetadata"])):
        assert gate.reached.wait(HELD)  # committed
        (new,) = {each["KeyId"] for each in client.list_keys()["Keys"]} - {reopened[2]}
        arn = f"arn:aws:kms:us-east-1:000000000000:key/{new}"
        client.describe_key(KeyId=new)
        blob = client.encrypt(KeyId=arn, Plaintext=b"x")["CiphertextBlob"]
        gate.open.set()
    assert made["KeyId"] == new
    client.disable_key(KeyId=new)
    for name in (new, arn):
        with pytest.raises(client.exceptions.DisabledException):
            client.encrypt(KeyId=name, Plaintext=b"x")
    with pytest.raises(client.exceptions.DisabledException):
        client.decrypt(CiphertextBlob=blob)


def test_a_rotation_that_follows_a_replication_reaches_the_replica(reopened, monkeypatch):
    kms, client, _ = reopened
    key_id = client.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    gate, add = Gate(), Directory.add

    def held(self, row, version, handle):
        gate()
        return add(self, row, version, handle)

    monkeypatch.setattr(Directory, "add", held)
    with background(lambda: client.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1")):
        assert gate.reached.wait(HELD)  # committed, and not yet in memory
        with background(lambda: client.rotate_key_on_demand(KeyId=key_id)):
            # It commits now, unless it waits for its turn as it should
            threading.Event().wait(0.3)
            gate.open.set()
    clients = client, kms.client(region="eu-west-1")
    rotated = [
        each.generate_data_key(KeyId=key_id, KeySpec="AES_256")["KeyMaterialId"] for each in clients
    ]
    assert len(set(rotated)) == 1


def test_an_alias_that_was_looked_up_before_it_moved_is_looked_up_again(reopened, monkeypatch):
    _, client, key_id = reopened
    second = client.create_key()["KeyMetadata"]
    gate, load = Gate(), Directory._load

    def held(self, region, account, wanted):
        key = load(self, region, account, wanted)
        if wanted == key_id:
            gate()
        return key

    monkeypatch.setattr(Directory, "_load", held)
    with background(lambda: client.describe_key(KeyId="alias/a")):
        assert gate.reached.wait(HELD)  # it knows the old key, and has not cached the name
        client.update_alias(AliasName="alias/a", TargetKeyId=second["KeyId"])
        gate.open.set()
    assert client.describe_key(KeyId="alias/a")["KeyMetadata"]["KeyId"] == second["KeyId"]


def test_idle_keys_leave_the_memory_and_come_back_when_they_are_used(deployment, client):
    ids = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(10)]
    blobs = [client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] for key in ids]
    assert deployment.kms.status()["loaded_keys"] == 10
    deployment.kms.evict_idle_keys()
    client.decrypt(CiphertextBlob=blobs[0])  # used since
    assert deployment.kms.evict_idle_keys() == 9
    assert deployment.kms.status()["loaded_keys"] == 1
    with client.decrypt_many(blobs) as opened:
        assert list(opened) == [b"x"] * 10
    assert deployment.kms.status()["loaded_keys"] == 10
    for _ in range(2):
        deployment.kms.evict_idle_keys()
    assert deployment.kms.status()["loaded_keys"] == 0
    for key, blob in zip(ids, blobs, strict=True):
        assert client.decrypt(CiphertextBlob=blob)["KeyId"].endswith(key)
        assert client.generate_data_key(KeyId=key, KeySpec="AES_256")
        moved = client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=ids[0])
        assert client.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"x"


def test_a_token_that_is_re_wrapped_while_it_is_being_loaded(deployment, client, monkeypatch):
    """Between reading and opening it, a rotation replaces it and drops its domain key."""
    key = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for _ in range(2):
        deployment.kms.evict_idle_keys()
    keystore = deployment.kms._maintenance._keystore
    load_token = keystore._load_token
    rotations: list[int] = []

    def overtaken(region, hbkid):
        token = load_token(region, hbkid)
        if not rotations:
            rotations.append(deployment.kms.rotate_domain_keys())
        return token

    monkeypatch.setattr(keystore, "_load_token", overtaken)
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert rotations == [1]


def test_idle_keys_leave_by_the_clock(deployment, client):
    """A key that nothing used for ten to twenty minutes is out of memory at the next call."""
    key = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for _ in range(3):
        deployment.clock.advance(601)
        client.list_keys()
    assert deployment.kms.status()["loaded_keys"] == 0
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_the_domain_key_rotates_once_a_day_by_itself(deployment, client):
    key = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    before = deployment.kms._hsm.domain_keys("us-east-1")
    deployment.clock.advance(86_399)
    client.list_keys()
    assert deployment.kms._hsm.domain_keys("us-east-1") == before
    deployment.clock.advance(1)
    client.list_keys()
    rotating = deployment.kms._maintenance._rotating
    assert rotating is not None
    rotating.join(HELD)
    after = deployment.kms._hsm.domain_keys("us-east-1")
    assert len(after) == 1
    assert after[0][0] != before[0][0]
    assert after[0][2] == int(deployment.clock.now())
    deployment.kms.evict_idle_keys()
    deployment.kms.evict_idle_keys()
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    record = next(each for each in deployment.records() if each["eventName"] == "RotateDomainKey")
    assert record["eventType"] == "AwsServiceEvent"


def test_what_is_due_by_the_clock_goes_on_after_it_was_set_back(deployment, client):
    """Idle keys leave and the domain key rotates, though their dates are in the far future now."""
    client.create_key()
    before = deployment.kms._hsm.domain_keys("us-east-1")
    run_due, clock = deployment.kms._maintenance.run_due, deployment.clock
    clock.set(clock.now() - 86_400, allow_backwards=True)
    for _ in range(3):
        run_due(clock.now())
        clock.advance(600)
    assert deployment.kms.status()["loaded_keys"] == 0
    rotating = deployment.kms._maintenance._rotating
    assert rotating is not None
    rotating.join(HELD)
    assert deployment.kms._hsm.domain_keys("us-east-1")[0][0] != before[0][0]


def test_the_watch_thread_looks_again_after_the_clock_was_set_back():
    """Material that expires soon by the new time does not wait for the old time to come back."""
    clock, looked = ManualClock(), threading.Semaphore(0)

    def run_due(now):
        looked.release()
        return now + 3600

    watch = Watch(clock, run_due, interval=0.01)
    try:
        for back in (0, 3600, 3600):
            clock.set(clock.now() - back, allow_backwards=True)
            assert looked.acquire(timeout=HELD)
        clock.advance(60)
        assert looked.acquire(timeout=HELD)
        assert not looked.acquire(timeout=0.1)
    finally:
        watch.stop()
