"""What the machines share that hold a KMS against a model: its life, refusals, counted runs."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clavero import KMS, ManualClock, Quotas

DAY = 86_400


class KmsMachine(RuleBasedStateMachine):
    """Rules are calls; after each the KMS must say what the model says.

    A machine calls `begin` where it begins, and gives `connect` where it wants other clients. What
    may happen to every KMS at any time is here: nothing that a model knows of changes by it.
    """

    steps = 0  # of all runs of a class
    quotas: ClassVar[Quotas | None] = None

    def begin(self, *, durable: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clavero-")) if durable else None
        self.clock = ManualClock()
        self.open_kms()

    def open_kms(self) -> None:
        path = None if self.folder is None else self.folder / "data"
        self.kms = KMS(path, clock=self.clock, quotas=self.quotas)
        self.connect()

    def connect(self) -> None:
        self.client = self.kms.client()

    def teardown(self) -> None:
        if hasattr(self, "kms"):
            self.kms.close()
            if self.folder is not None:
                shutil.rmtree(self.folder)

    @staticmethod
    def expect(code: str | None, method: Any, **params: Any) -> Any:
        """The call answers, or is refused with the code."""
        try:
            answer = method(**params)
        except ClientError as error:
            assert error.response["Error"]["Code"] == code, error
            return None
        assert code is None, f"{method.__name__} answered instead of {code}"
        return answer

    @rule()
    def evict(self):
        self.kms.evict_idle_keys()
        self.kms.evict_idle_keys()
        assert self.kms.status()["loaded_keys"] == 0

    @rule()
    def rotate_domain_keys(self):
        self.kms.rotate_domain_keys()

    @precondition(lambda self: self.folder is not None)
    @rule()
    def reopen(self):
        self.kms.close()
        self.open_kms()

    @invariant()
    def steps_are_counted(self):
        type(self).steps += 1


def refusal(state: str | None, *allowed: str) -> str | None:
    """How an operation that runs in these key states answers for a key; no state: no such key."""
    if state is None:
        return "NotFoundException"
    if state in allowed:
        return None
    return "DisabledException" if state == "Disabled" else "KMSInvalidStateException"


def time_of(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def explore(machine: type[KmsMachine], examples: int, steps: int, at_least: int = 0) -> type:
    """The machine as a test, with as many runs of as many steps; fails after fewer in all."""

    class Case(machine.TestCase):  # type: ignore[misc, name-defined]  # made by hypothesis
        def runTest(self) -> None:  # noqa: N802 - unittest's name
            before = machine.steps
            super().runTest()
            done = machine.steps - before
            print(f"{done:,} steps")  # noqa: T201 - shown by make test-slow
            assert done >= at_least

    Case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    # Found in seconds, a failure takes a minute or two to be made small. The long run takes
    # minutes, and more on a machine that does other things too.
    return pytest.mark.timeout(3600 if at_least else 600)(Case)
