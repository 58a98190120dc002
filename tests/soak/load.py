"""The load of a soak: what clients do to a server all day, the good ones and the others."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.server.abusers import ABUSERS
from tests.server.processes import Server
from tests.server.raw import answer, connected, signed

MESSAGE: Final = b"a message of the soak"
WEEK: Final = 7 * 86_400


class Load:
    """Threads that ask until they are told to end. `done` counts what each kind did."""

    def __init__(self, server: Server) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self._server = server
        self._ended = threading.Event()
        self._target = server.target()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Under load until the block ends. What failed in a thread fails here."""
        threads = [
            threading.Thread(target=self._repeat, args=(kind, once))
            for kind, once in (
                ("calls", self._calls()),
                ("keys", self._keys()),
                ("new connections", self._new_connection),
                ("abuse", self._abuse),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
        if self.failures:
            raise self.failures[0]

    def _repeat(self, kind: str, once: Callable[[], int]) -> None:
        try:
            while not self._ended.is_set():
                self.done[kind] += once()
        except BaseException as error:  # noqa: BLE001 (raised again by `running`)
            self.failures.append(error)

    def _calls(self) -> Callable[[], int]:
        """Cryptography over one connection that stays."""
        client = self._server.client()
        sealing = client.create_key()["KeyMetadata"]["KeyId"]
        signing = _key(client, "ECC_NIST_P256", "SIGN_VERIFY")
        hashing = _key(client, "HMAC_256", "GENERATE_VERIFY_MAC")

        def once() -> int:
            context = {"number": str(random.randrange(1_000_000))}  # never the same
            sealed = client.encrypt(KeyId=sealing, Plaintext=MESSAGE, EncryptionContext=context)
            blob = sealed["CiphertextBlob"]
            opened = client.decrypt(CiphertextBlob=blob, EncryptionContext=context)
            assert opened["Plaintext"] == MESSAGE
            client.generate_data_key(KeyId=sealing, KeySpec="AES_256")
            how = {"KeyId": signing, "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
            signature = client.sign(**how)["Signature"]
            assert client.verify(**how, Signature=signature)["SignatureValid"]
            client.generate_mac(KeyId=hashing, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256")
            client.describe_key(KeyId=sealing)
            client.list_keys()
            return 8

        return once

    def _keys(self) -> Callable[[], int]:
        """The life of keys: made, named, granted, tagged, rotated, erased when their time is up."""
        client = self._server.client()
        alias = "alias/soak"

        def once() -> int:
            key_id = client.create_key()["KeyMetadata"]["KeyId"]
            client.create_alias(AliasName=alias, TargetKeyId=key_id)
            client.encrypt(KeyId=alias, Plaintext=MESSAGE)
            grant = client.create_grant(
                KeyId=key_id,
                GranteePrincipal="arn:aws:iam::000000000000:role/soak",
                Operations=["Encrypt"],
            )
            client.revoke_grant(KeyId=key_id, GrantId=grant["GrantId"])
            client.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
            client.rotate_key_on_demand(KeyId=key_id)
            client.delete_alias(AliasName=alias)
            client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
            time.sleep(0.2)  # each of these waits for the disk
            if self.done["keys"] % (50 * 9) == 0:
                asked = self._server.ask("clock", "advance", str(WEEK + 1))
                assert asked.returncode == 0, asked.stderr
            return 9

        return once

    def _new_connection(self) -> int:
        with connected(self._target) as stream:
            stream.sendall(signed(self._target, b"{}"))
            status, _, told = answer(stream)
            assert status == 200, told
        time.sleep(0.01)
        return 1

    def _abuse(self) -> int:
        ABUSERS[random.choice(list(ABUSERS))](self._target)
        time.sleep(0.05)
        return 1


def _key(client: Any, spec: str, usage: str) -> str:
    made: str = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    return made
