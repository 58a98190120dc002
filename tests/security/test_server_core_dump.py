"""What a dump of a serving process has of its secrets: of secret access keys, nothing.

The server is `clavero serve`; it has verified signatures and shaken hands when it is dumped.
SECURITY.md says what is promised of this and what is not.
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
import time
from collections.abc import Callable
from pathlib import Path

from tests.server.processes import Server
from tests.server.raw import Target, answer, connected, signed


def hits(core: Path, needles: list[bytes]) -> list[bytes]:
    """Which of the needles are somewhere in the file."""
    with core.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [needle for needle in needles if data.find(needle) >= 0]


def signing_keys(secret: str, date: str, region: str) -> list[bytes]:
    """Every key on the way from a secret to a signature: SigV4's chain of HMACs."""
    key = b"AWS4" + secret.encode()
    chain = []
    for part in (date, region, "kms", "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
        chain.append(key)
    return chain


def ask(target: Target, times: int = 3) -> None:
    for _ in range(times):
        with connected(target) as stream:
            stream.sendall(signed(target, b"{}"))
            assert answer(stream)[0] == 200


def test_secret_access_keys(start_python, tmp_path, dump_core: Callable[[int], Path]):
    first = Server(start_python, tmp_path / "data")
    target = first.target()  # asks for the secret, which that process then has had in Python
    assert first.stop()[0] == 0
    server = Server(start_python, tmp_path / "data")
    try:
        target = target._replace(port=int(server.greeting["endpoint"].rpartition(":")[2]))
        date = time.strftime("%Y%m%d", time.gmtime())
        ask(target)
        if date != time.strftime("%Y%m%d", time.gmtime()):  # midnight
            ask(target)
            date = time.strftime("%Y%m%d", time.gmtime())
        secret = target.secret_access_key
        needles = [secret.encode(), *signing_keys(secret, date, target.region)]
        core = dump_core(server.process.pid)
        # The dump is whole: it has what the process holds of the same key in ordinary memory
        assert hits(core, [target.access_key_id.encode()])
        assert hits(core, needles) == []
        core.unlink()
        # And one that leaks is found out: `clavero env` has the secret pass through Python
        assert server.environment()["AWS_SECRET_ACCESS_KEY"] == secret
        core = dump_core(server.process.pid)
        assert hits(core, needles) == [secret.encode()]
        assert server.stop()[0] == 0
    finally:
        server.end()
