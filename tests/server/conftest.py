"""What the tests of the endpoint share: servers that are processes, ended after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.processes import Server, Start


@pytest.fixture
def start(start_python, tmp_path: Path) -> Iterator[Start]:
    """Start a server on a folder; it is ended after the test."""
    made: list[Server] = []

    def begin(*options: str, data: Path = tmp_path / "data") -> Server:
        made.append(Server(start_python, data, *options))
        return made[-1]

    yield begin
    for server in made:
        server.end()
