"""What all tests share: programs that a test needs, which CI must have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

NeedProgram = Callable[[str], str]


@pytest.fixture
def need_program() -> NeedProgram:
    """Give the path of a program; where it is missing, skip the test, but fail it in CI."""

    def need(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            message = f"{name} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{message}, and CI goes without nothing: see .ci/run")
            pytest.skip(message)
        return path

    return need
