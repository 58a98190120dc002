"""The checked-in tables are those of the pinned botocore, and the operations are boto3's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from clavero.model import generated
from clavero.model.operations import BY_METHOD, OPERATIONS
from clavero.model.shapes import Shape, shape

ROOT = Path(__file__).resolve().parents[2]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_model", ROOT / "tools" / "generate_model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pinned() -> None:
    if botocore.__version__ != generated.BOTOCORE_VERSION:
        message = (
            f"the model is pinned to botocore {generated.BOTOCORE_VERSION}, but "
            f"{botocore.__version__} is installed: drift is NOT tested"
        )
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)


@pytest.fixture(scope="module")
def service(pinned: None) -> ServiceModel:
    return ServiceModel(Loader().load_service_model("kms", "service-2"))


def test_generated_is_what_the_generator_writes(pinned: None) -> None:
    generator = load_generator()
    lines = generator.difference(generator.generate(generator.load_service_model()))
    assert not lines, "run python tools/generate_model.py; first lines: " + "\n".join(lines[:10])


def test_difference_finds_a_changed_constraint(pinned: None, tmp_path: Path) -> None:
    generator = load_generator()
    text = generator.OUTPUT.read_text("utf-8")
    changed = tmp_path / "generated.py"
    changed.write_text(text.replace("'max': 4096", "'max': 4097"), "utf-8")
    assert generator.difference(text, changed)
    assert generator.difference(text, tmp_path / "absent.py")
    assert not generator.difference(text)


def test_an_unknown_trait_stops_the_generator(pinned: None) -> None:
    generator = load_generator()
    model: dict[str, Any] = dict(generator.load_service_model())
    shapes = dict(model["shapes"])
    shapes["KeyIdType"] = {**shapes["KeyIdType"], "multipleOf": 2}
    model["shapes"] = shapes
    with pytest.raises(generator.ModelError, match="multipleOf"):
        generator.generate(model)


def test_check_mode_of_the_command(pinned: None) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_model.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_56_operations(service: ServiceModel) -> None:
    assert list(OPERATIONS) == sorted(service.operation_names)
    assert len(OPERATIONS) == 56
    for name, operation in OPERATIONS.items():
        theirs = service.operation_model(name)
        assert operation.name == name
        assert operation.method == botocore.xform_name(name)
        assert operation.errors == tuple(error.name for error in theirs.error_shapes)
        assert operation.input.name == theirs.input_shape.name
        ours, output = operation.output, theirs.output_shape
        assert (ours and ours.name) == (output and output.name)
    assert BY_METHOD["re_encrypt"] is OPERATIONS["ReEncrypt"]
    assert len(BY_METHOD) == 56


def assert_same_shape(ours: Shape, theirs: Any) -> None:
    assert (ours.name, ours.type) == (theirs.name, theirs.type_name)
    metadata = theirs.metadata
    assert ours.min == metadata.get("min")
    assert ours.max == metadata.get("max")
    assert ours.pattern == metadata.get("pattern")
    assert ours.sensitive == metadata.get("sensitive", False)
    assert list(ours.enum) == list(metadata.get("enum", ()))
    if ours.type == "structure":
        assert list(ours.required) == list(metadata.get("required", ()))
        assert list(ours.members) == list(theirs.members)
        for name, member in ours.members.items():
            assert_same_shape(member, theirs.members[name])
    elif ours.type == "list":
        assert ours.member is not None
        assert_same_shape(ours.member, theirs.member)
    elif ours.type == "map":
        assert ours.key is not None
        assert ours.value is not None
        assert_same_shape(ours.key, theirs.key)
        assert_same_shape(ours.value, theirs.value)


def test_every_shape_is_botocores(service: ServiceModel) -> None:
    for operation in OPERATIONS.values():
        theirs = service.operation_model(operation.name)
        assert_same_shape(operation.input, theirs.input_shape)
        if operation.output is not None:
            assert_same_shape(operation.output, theirs.output_shape)
        for error in operation.errors:
            assert_same_shape(shape(error), service.shape_for(error))


def test_import_is_quick_and_needs_no_botocore(tmp_path: Path) -> None:
    # In a fresh interpreter, with the byte code that an installed package has.
    program = (
        "import sys, time, typing, clavero.model\n"
        "t = time.perf_counter()\n"
        "import clavero.model.generated\n"
        "print(time.perf_counter() - t)\n"
        "import clavero.model.operations, clavero.model.params, clavero.model.arn\n"
        "assert not any(m.split('.')[0] == 'botocore' for m in sys.modules)\n"
    )
    environment = {"PYTHONPATH": str(ROOT / "python"), "PYTHONPYCACHEPREFIX": str(tmp_path)}
    seconds = [
        float(
            subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
        )
        for _ in range(3)
    ]
    assert min(seconds[1:]) < 0.010


def test_accepts_is_quick() -> None:
    """The check is on the path of every data key; the bound is wide, for a machine under load."""
    accepts = OPERATIONS["GenerateDataKey"].accepts
    params = {"KeyId": "alias/app", "KeySpec": "AES_256", "EncryptionContext": {"tenant": "a"}}
    assert accepts(params)
    best = min(_seconds(lambda: accepts(params)) for _ in range(5))
    assert best < 5e-6


def _seconds(call: Any, number: int = 2000) -> float:
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number
