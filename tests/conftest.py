"""What all tests share: KMS fixtures, answers held against AWS's model, needed programs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from dateutil.tz import tzlocal
from hypothesis import HealthCheck, settings

from clavero.client import Client
from clavero.model.errors import HTTP_STATUS
from clavero.model.operations import BY_METHOD
from clavero.testing import kms, kms_client, kms_clock, kms_options, kms_seed

__all__ = ["kms", "kms_client", "kms_clock", "kms_options", "kms_seed"]

# Time is shared with other work on the machine, so that a deadline would only be flaky.
settings.register_profile(
    "clavero", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("clavero")

# Codes that any operation may answer with, though the model does not list them for it.
ANYWHERE = {
    "AccessDeniedException",
    "SerializationException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "UnsupportedOperationException",
    "ValidationException",
}
# What the model lists for CreateAlias only, though the other two take the same names; and for other
# operations that take grant tokens.
BEYOND_THE_MODEL = {
    ("DescribeKey", "InvalidGrantTokenException"),
    ("UpdateAlias", "InvalidAliasNameException"),
    ("DeleteAlias", "InvalidAliasNameException"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-rounds",
        type=int,
        default=100,
        help="how often the store's process is killed in tests/security/test_kill.py",
    )
    parser.addoption(
        "--soak-minutes",
        type=float,
        default=5.0,
        help="how long the server of tests/soak is under load",
    )
    parser.addoption(
        "--iam-cases",
        type=int,
        default=900,
        help="how many random worlds are decided twice in tests/iam",
    )


@functools.cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")


def check_value(shape: Any, value: Any, where: str) -> None:
    """Fail unless the value is one that botocore would have parsed from AWS's answer."""
    kind = shape.type_name
    if kind == "structure":
        assert type(value) is dict, where
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where} has members that AWS has not: {unknown}"
        for name, item in value.items():
            check_value(shape.members[name], item, f"{where}.{name}")
    elif kind == "list":
        assert type(value) is list, where
        for index, item in enumerate(value):
            check_value(shape.member, item, f"{where}[{index}]")
    elif kind == "map":
        assert type(value) is dict, where
        for name, item in value.items():
            check_value(shape.key, name, f"{where}'s names")
            assert type(item) is str, where
    elif kind == "timestamp":
        assert isinstance(value, datetime), where
        # Ours are in UTC; botocore's parser puts every time into the local zone
        assert value.tzinfo is UTC or type(value.tzinfo) is tzlocal, where
    else:
        python = {"string": str, "blob": bytes, "integer": int, "boolean": bool}[kind]
        assert type(value) is python, f"{where} is a {type(value)}"
        # AWS gives the deprecated member the new specs too, which its enumeration does not have
        if getattr(shape, "enum", None) and shape.name != "CustomerMasterKeySpec":
            assert value in shape.enum, where
        if kind in {"string", "blob"} and not where.endswith((".Description", ".TagValue")):
            assert value, f"{where} is empty"


def check_answer(operation: str, answer: dict[str, Any]) -> None:
    """Fail unless the answer has AWS's members only, in botocore's types."""
    rest = dict(answer)
    metadata = rest.pop("ResponseMetadata")
    assert set(metadata) == {"RequestId", "HTTPStatusCode", "HTTPHeaders", "RetryAttempts"}
    assert metadata["HTTPStatusCode"] == 200
    assert len(metadata["RequestId"]) == 36
    shape = service_model().operation_model(operation).output_shape
    if shape is None:
        assert rest == {}, f"{operation} answers with an empty body"
    else:
        check_value(shape, rest, operation)


def check_error(client: Client, operation: str, error: Any) -> None:
    """Fail unless the error is one that boto3 raises for this operation."""
    response = error.response
    code, message = response["Error"]["Code"], response["Error"]["Message"]
    modelled = {
        shape.metadata.get("error", {}).get("code", shape.name)
        for shape in service_model().operation_model(operation).error_shapes
    }
    assert code in modelled | ANYWHERE or (operation, code) in BEYOND_THE_MODEL, (operation, code)
    assert code != "KMSInternalException", message
    assert error.operation_name == operation
    assert type(error) is client.exceptions.from_code(code)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == HTTP_STATUS[code]
    assert len(response["ResponseMetadata"]["RequestId"]) == 36
    # boto3 adds how often it tried, where another attempt might have had better luck
    tried = " (reached max retries: 0)" * response["ResponseMetadata"].get("MaxAttemptsReached", 0)
    assert str(error) == (
        f"An error occurred ({code}) when calling the {operation} operation{tried}: {message}"
    )


class Checked:
    """A client whose every answer and every error is held against botocore's model of KMS."""

    def __init__(self, client: Client, *, beyond: Client | None = None) -> None:
        self.unchecked = client
        self._beyond = beyond  # has what is beyond AWS, where `client` is boto3's

    def used_aliases(self, **params: Any) -> list[dict[str, Any]]:
        """The page of ListAliases without what AWS predefines and nobody has used."""
        answer = self.list_aliases(**params)
        return [each for each in answer["Aliases"] if "TargetKeyId" in each]

    def __getattr__(self, name: str) -> Any:
        there = self._beyond is None or hasattr(self.unchecked, name)
        attribute = getattr(self.unchecked if there else self._beyond, name)
        operation = BY_METHOD.get(name)
        if operation is None:
            return attribute

        def call(**params: Any) -> dict[str, Any]:
            try:
                answer: dict[str, Any] = attribute(**params)
            except ClientError as error:
                check_error(self.unchecked, operation.name, error)
                raise
            check_answer(operation.name, answer)
            return answer

        return call


@pytest.fixture(scope="session")
def checked() -> Callable[..., Checked]:
    """Wrap a client so that every answer is validated."""
    return Checked


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call `method(**params)`, expect the error code, and give AWS's message."""

    def refuse(code: str, method: Callable[..., Any], *args: Any, **params: Any) -> str:
        with pytest.raises(ClientError) as caught:
            method(*args, **params)
        assert caught.value.response["Error"]["Code"] == code, caught.value
        message: str = caught.value.response["Error"]["Message"]
        return message

    return refuse


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


def child_environment() -> dict[str, str]:
    """The environment in which a fresh interpreter finds the same packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="session")
def start_python() -> Callable[..., subprocess.Popen[bytes]]:
    """Start a program in a fresh interpreter: its arguments, then Popen's."""

    def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], env=child_environment(), **options
        )

    return start


@pytest.fixture
def dump_core(need_program: NeedProgram, tmp_path: Path) -> Callable[[int], Path]:
    """Take a core dump of a process, with all of its mappings; the file."""
    gcore = need_program("gcore")

    def dump(pid: int) -> Path:
        done = subprocess.run(
            [gcore, "-a", "-o", tmp_path / "core", str(pid)],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        core = tmp_path / f"core.{pid}"
        assert core.exists(), done.stderr
        return core

    return dump
