"""What the store's tests share: rows, both kinds of store, and a second process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from clavero.store.engine import Store, open_store
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

REGION = "us-east-1"
ACCOUNT = "111122223333"
DOMAIN_KEY = b"D" * 16

MakeKey = Callable[..., tuple[KeyRow, VersionRow]]
RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


def make_pair(number: int, **changes: Any) -> tuple[KeyRow, VersionRow]:
    """A key and its version, the same for the same number."""
    hbkid = sha256(b"hbkid %d" % number).digest()[:16]
    key = KeyRow(
        region=REGION,
        account=ACCOUNT,
        key_id=f"{number:08x}-12ab-34cd-56ef-1234567890ab",
        description="",
        usage="ENCRYPT_DECRYPT",
        spec="SYMMETRIC_DEFAULT",
        origin="AWS_KMS",
        manager="CUSTOMER",
        enabled=True,
        created=1000.0 + number,
        deletion_date=None,
        pending_window=None,
        multi_region=False,
        policy="{}",
        current_version=hbkid,
    )
    key = replace(key, **changes)
    version = VersionRow(
        region=key.region,
        hbkid=hbkid,
        account=key.account,
        key_id=key.key_id,
        token=b"token of " + sha256(b"token %d" % number).digest(),
        domain_key_id=DOMAIN_KEY,
        material_id=sha256(hbkid).hexdigest(),
        created=key.created,
    )
    return key, version


@pytest.fixture
def make_key() -> MakeKey:
    return make_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """Both kinds of store: what holds for one holds for the other."""
    with open_store(None if request.param == "memory" else folder) as opened:
        yield opened


@pytest.fixture
def run_python() -> RunPython:
    """Run a program in a fresh interpreter that finds the same `clavero`."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
