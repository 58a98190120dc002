"""The process that test_kill.py kills: it uses a KMS without end and says what it did.

It reads lines `FOLDER SEED TIME` and forks for each: the fork saves the imports. The fork opens the
KMS and takes random steps. Each step is a line of JSON before the call (`do`) and, once the call
has returned, another (`done`); whatever was done is acknowledged, and must never be lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
from typing import Any

from clavero import KMS, ManualClock

DAY = 86_400


def say(**members: Any) -> None:
    os.write(1, json.dumps(members).encode() + b"\n")


class Worker:
    """Random steps on one KMS."""

    def __init__(self, folder: str, seed: int, now: float) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock(now)
        self.kms = KMS(folder, clock=self.clock)
        self.client = self.kms.client()
        self.states = {
            each["KeyId"]: self.client.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"]
            for each in self.client.list_keys(Limit=1000)["Keys"]
        }
        self.aliases = {
            each["AliasName"]: each["TargetKeyId"]
            for each in self.client.list_aliases(Limit=100)["Aliases"]
            if "TargetKeyId" in each
        }
        self.number = 0

    def run(self) -> None:
        rotator = threading.Thread(target=self.rotate_forever, daemon=True)
        rotator.start()
        say(ready=len(self.states))
        steps = [self.create, self.use, self.use, self.batch, self.alias, self.switch]
        steps += [self.schedule, self.cancel, self.advance, self.evict]
        while True:
            self.random.choice(steps)()

    def rotate_forever(self) -> None:
        while True:
            self.kms.rotate_domain_keys()

    def one(self, state: str) -> str | None:
        found = sorted(key for key, each in self.states.items() if each == state)
        return self.random.choice(found) if found else None

    def do(self, what: str, method: Any, **params: Any) -> Any:
        self.number += 1
        shown = {name: value for name, value in params.items() if isinstance(value, str | int)}
        say(do=what, number=self.number, **shown)
        return method(**params)

    def done(self, **members: Any) -> None:
        say(done=self.number, **members)

    def create(self) -> None:
        if len(self.states) > 25:
            return
        key = self.do("create", self.client.create_key)["KeyMetadata"]["KeyId"]
        self.states[key] = "Enabled"
        self.done(key=key)

    def use(self) -> None:
        key = self.one("Enabled")
        if key is not None:
            made = self.do("use", self.client.generate_data_key, KeyId=key, KeySpec="AES_256")
            self.keep(key, made["CiphertextBlob"], made["Plaintext"], made)

    def keep(self, key: str, blob: bytes, plaintext: bytes, answer: Any) -> None:
        self.done(
            key=key,
            blob=blob.hex(),
            digest=hashlib.sha256(plaintext).hexdigest(),
            request=answer["ResponseMetadata"]["RequestId"] if answer else None,
        )

    def batch(self) -> None:
        key = self.one("Enabled")
        if key is not None:
            made = self.do(
                "batch",
                self.client.generate_data_keys,
                KeyId=key,
                NumberOfKeys=40,
                KeySpec="AES_128",
            )
            plaintext, blob = made[self.random.randrange(40)]
            self.keep(key, blob, plaintext, None)

    def alias(self) -> None:
        name, key = f"alias/{self.random.randrange(6)}", self.one("Enabled")
        if name not in self.aliases:
            if key is not None:
                self.do("alias", self.client.create_alias, AliasName=name, TargetKeyId=key)
                self.aliases[name] = key
                self.done(alias=name, key=key)
        elif key is None or self.random.random() < 0.4:
            self.do("alias", self.client.delete_alias, AliasName=name)
            del self.aliases[name]
            self.done(alias=name, key=None)
        else:
            self.do("alias", self.client.update_alias, AliasName=name, TargetKeyId=key)
            self.aliases[name] = key
            self.done(alias=name, key=key)

    def switch(self) -> None:
        key = self.one("Enabled") if self.random.random() < 0.4 else self.one("Disabled")
        if key is not None:
            enabled = self.states[key] == "Enabled"
            method = self.client.disable_key if enabled else self.client.enable_key
            self.do("state", method, KeyId=key)
            self.states[key] = "Disabled" if enabled else "Enabled"
            self.done(key=key, state=self.states[key])

    def schedule(self) -> None:
        key = self.one(self.random.choice(["Enabled", "Disabled"]))
        if key is not None and len(self.states) > 4:
            answer = self.do(
                "state", self.client.schedule_key_deletion, KeyId=key, PendingWindowInDays=7
            )
            self.states[key] = "PendingDeletion"
            self.done(key=key, state="PendingDeletion", due=answer["DeletionDate"].timestamp())

    def cancel(self) -> None:
        key = self.one("PendingDeletion")
        if key is not None:
            self.do("state", self.client.cancel_key_deletion, KeyId=key)
            self.states[key] = "Disabled"
            self.done(key=key, state="Disabled")

    def advance(self) -> None:
        now = self.clock.advance(DAY * self.random.randrange(1, 4))
        listed = self.do("advance", lambda **_: self.client.list_keys(Limit=1000), now=int(now))
        kept = {each["KeyId"] for each in listed["Keys"]}
        self.states = {key: state for key, state in self.states.items() if key in kept}
        self.aliases = {name: key for name, key in self.aliases.items() if key in kept}
        self.done()

    def evict(self) -> None:
        self.kms.evict_idle_keys()


def main() -> None:
    for line in sys.stdin:
        folder, seed, now = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                Worker(folder, int(seed), float(now)).run()
            except BaseException as error:
                say(failed=repr(error))
                raise
        say(pid=pid)
        os.waitpid(pid, 0)
        say(over=pid)


if __name__ == "__main__":
    main()
