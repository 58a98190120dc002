"""Two processes, two KMSs, and forks: refused with a sentence, quickly; no crash, no hang."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from clavero import KMS, StoreLocked

LIMIT = 20.0  # seconds after which a child counts as hanging
# Python 3.12 and later warn of what is under test here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

OPEN = """
import sys
import clavero
try:
    clavero.KMS(sys.argv[1])
except clavero.StoreLocked as error:
    print("LOCKED", error)
else:
    print("OPENED")
"""


def in_child(action) -> dict[str, Any]:
    """Fork, run `action` in the child and give what it returned; fail if it hangs or crashes."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.close(reader)
            os.write(writer, json.dumps(action()).encode())
            code = 0
        except BaseException as error:  # noqa: BLE001 (told to the parent)
            os.write(writer, json.dumps({"raised": repr(error)}).encode())
        finally:
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + LIMIT
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)
    with os.fdopen(reader) as stream:
        answer = json.loads(stream.read() or "{}")
    assert os.waitstatus_to_exitcode(status) == 0, answer
    return answer


@pytest.fixture(params=["memory", "folder"])
def kms(request, folder):
    with KMS(None if request.param == "memory" else folder) as opened:
        yield opened


@pytest.fixture
def used(kms):
    """A client, a key and a blob."""
    client = kms.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    return client, key_id, client.encrypt(KeyId=key_id, Plaintext=b"data")["CiphertextBlob"]


# --- one folder ----------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_has_the_folder(folder, start_python):
    def attempt():
        done = start_python("-c", OPEN, folder, stdout=subprocess.PIPE, text=True)
        return done.communicate(timeout=60)[0]

    with KMS(folder) as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        text = attempt()
        assert text.startswith("LOCKED")
        assert str(folder) in text
        assert f"pid {os.getpid()}" in text
        assert client.describe_key(KeyId=key_id)
    assert attempt() == "OPENED\n"


def test_a_second_kms_in_the_process_is_refused_and_the_first_goes_on(folder):
    with KMS(folder) as kms:
        with pytest.raises(StoreLocked, match="already open in this process"):
            KMS(folder)
        kms.client().create_key()
    KMS(folder).close()


def test_kms_s_in_memory_do_not_meet(kms, used):
    client, _, blob = used
    with KMS() as other:
        assert other.client().list_keys()["Keys"] == []
        with pytest.raises(client.exceptions.InvalidCiphertextException):
            other.client().decrypt(CiphertextBlob=blob)
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


# --- forks ---------------------------------------------------------------------------------------


def calls_in_child(kms, client, key_id, blob) -> list[str]:
    """What each kind of call gets in a forked child."""
    found = []
    for call in (
        lambda: client.encrypt(KeyId=key_id, Plaintext=b"x"),
        lambda: client.decrypt(CiphertextBlob=blob),
        lambda: client.generate_data_key(KeyId=key_id, KeySpec="AES_256"),
        lambda: client.generate_data_keys(KeyId=key_id, NumberOfKeys=2, KeySpec="AES_256"),
        lambda: client.decrypt_many([blob]),
        lambda: client.generate_random(NumberOfBytes=8),
        lambda: client.create_key(),
        lambda: client.list_keys(),
        lambda: kms.client().describe_key(KeyId=key_id),
    ):
        try:
            call()
            found.append("answered")
        except client.exceptions.ClientError as error:
            found.append(error.response["Error"]["Code"])
    return found


def test_a_child_gets_a_clear_error_and_the_parent_goes_on(kms, used):
    client, key_id, blob = used

    def child():
        codes = calls_in_child(kms, client, key_id, blob)
        try:
            client.list_keys()
        except client.exceptions.ClientError as error:
            message = error.response["Error"]["Message"]
        kms.close()  # does nothing
        return {"codes": codes, "message": message}

    answer = in_child(child)
    assert set(answer["codes"]) == {"ServiceUnavailableException"}
    assert "no key crosses a fork" in answer["message"]
    assert "open a new KMS in this process" in answer["message"]
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    client.create_key()


def test_the_hsm_below_refuses_in_a_child_too(kms, used):
    """Not only the pipeline in front of it: no way to a key's bytes is left."""
    from clavero._native import ForkedError

    def child():
        refused = 0
        for call in (
            kms._hsm.status,
            lambda: kms._hsm.generate_random(8),
            lambda: kms._hsm.encrypt(0, b"x", None),
            lambda: kms._hsm.domain_keys("us-east-1"),
            kms._hsm.seal,
            kms._hsm.evict_idle_keys,
        ):
            try:
                call()
            except ForkedError:
                refused += 1
        return {"refused": refused}

    assert in_child(child) == {"refused": 6}


def test_a_child_opens_a_kms_of_its_own(kms, used, tmp_path):
    def child():
        results = []
        for path in (None, tmp_path / "child"):
            with KMS(path) as own:
                client = own.client()
                key_id = client.create_key()["KeyMetadata"]["KeyId"]
                sealed = client.encrypt(KeyId=key_id, Plaintext=b"child")["CiphertextBlob"]
                batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=100, NumberOfBytes=8)
                results += [
                    client.decrypt(CiphertextBlob=sealed)["Plaintext"].decode(),
                    len(client.decrypt_many(batch.ciphertext)),
                ]
        return {"results": results}

    assert in_child(child) == {"results": ["child", 100] * 2}
    client, _, blob = used
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    with KMS(tmp_path / "child") as kms_:
        assert len(kms_.client().list_keys()["Keys"]) == 1


def test_a_child_cannot_have_the_parent_s_folder(folder):
    with KMS(folder):

        def child():
            try:
                KMS(folder)
            except StoreLocked as error:
                return {"text": str(error)}
            return {}

        assert f"was open in process {os.getpid()} when" in in_child(child)["text"]


def test_children_of_a_busy_process_answer_at_once(kms, used):
    """Threads hold every lock there is at the moment of the fork, some of the time."""
    client, key_id, blob = used
    stop = threading.Event()
    failures: list[BaseException] = []

    def busy(number: int) -> None:
        try:
            while not stop.is_set():
                match number:
                    case 0:
                        client.create_key()
                    case 1:
                        client.generate_data_keys(KeyId=key_id, NumberOfKeys=300, NumberOfBytes=32)
                    case 2:
                        kms.rotate_domain_keys()
                    case _:
                        client.decrypt(CiphertextBlob=blob)
        except BaseException as error:  # noqa: BLE001 (told to the test)
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):

            def child():
                started = time.monotonic()
                codes = calls_in_child(kms, client, key_id, blob)
                seconds = time.monotonic() - started
                with KMS() as own:
                    own.client().create_key()
                return {"codes": sorted(set(codes)), "quick": seconds < LIMIT / 4}

            assert in_child(child) == {"codes": ["ServiceUnavailableException"], "quick": True}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_worker_of_multiprocessing_by_fork(kms, used):
    client, key_id, blob = used
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def work():
        queue.put(calls_in_child(kms, client, key_id, blob))
        with KMS() as own:
            queue.put(len(own.client().generate_random(NumberOfBytes=8)["Plaintext"]))

    worker = context.Process(target=work)
    worker.start()
    worker.join(LIMIT)
    assert worker.exitcode == 0
    assert set(queue.get()) == {"ServiceUnavailableException"}
    assert queue.get() == 8
    queue.close()
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


PROGRAM = """
import os, sys, clavero
kms = clavero.KMS(sys.argv[1])
client = kms.client()
key_id = client.create_key()["KeyMetadata"]["KeyId"]
batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=1000, KeySpec="AES_256")
pid = os.fork()
if pid == 0:
    sys.exit(0)  # an ordinary exit: finalizers run, with the parent's KMS among what they find
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert client.decrypt(CiphertextBlob=batch[0][1])["Plaintext"] == batch[0][0]
print(code, "done")
"""


def test_a_child_and_its_parent_end_without_closing(folder, start_python):
    """Everything is dropped by the interpreter's exit, in both, and nothing is lost."""
    for _ in range(2):
        process = start_python(
            "-X", "dev", "-c", PROGRAM, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = process.communicate(timeout=60)
        assert (out, process.returncode) == (b"0 done\n", 0), err
        assert b"Traceback" not in err
    with KMS(folder) as kms:
        assert len(kms.client().list_keys()["Keys"]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_busy_process_at_once_and_the_store_is_whole(folder, start_python, number):
    program = (
        "import sys, clavero\n"
        "client = clavero.KMS(sys.argv[1]).client()\n"
        "key_id = client.create_key()['KeyMetadata']['KeyId']\n"
        "print(key_id, flush=True)\n"
        "while True: client.generate_data_keys(KeyId=key_id, NumberOfKeys=500, NumberOfBytes=32)\n"
    )
    process = start_python("-c", program, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    key_id = process.stdout.readline().decode().strip()
    time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode in {-number, 1, 128 + number}, process.returncode
    with KMS(folder) as kms:
        kms.client().encrypt(KeyId=key_id, Plaintext=b"x")
