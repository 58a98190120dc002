"""Writes python/clavero/model/generated.py: the KMS API's shapes, from botocore's service model.

    python tools/generate_model.py            # write the file
    python tools/generate_model.py --check    # exit 1, with a summary, when the file differs

The tables are checked in so that the product needs no botocore and pays no JSON parsing at import.
The output depends on the model alone: same botocore, same bytes.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore
from botocore.loaders import Loader

BOTOCORE_VERSION = "1.44.5"
OUTPUT = Path(__file__).resolve().parent.parent / "python" / "clavero" / "model" / "generated.py"

# The traits that the validators understand. Any other stops the generator: a new kind
# of constraint must be implemented, never dropped in silence.
STRUCTURE_TRAITS = {"type", "members", "required", "member", "key", "value"}
CONSTRAINT_TRAITS = {"min", "max", "pattern", "enum", "sensitive", "box"}
SHAPE_TRAITS = STRUCTURE_TRAITS | CONSTRAINT_TRAITS
IGNORED_TRAITS = {"documentation", "exception", "fault", "error", "deprecated", "deprecatedMessage"}
MEMBER_TRAITS = {"shape", "documentation", "deprecated", "deprecatedMessage"}

OPERATION_ROWS = "dict[str, tuple[str, str | None, tuple[str, ...]]]"
SHAPE_ROWS = "dict[str, dict[str, Any]]"
EXCEPTION_ROWS = "dict[str, tuple[str, int, tuple[str, ...]]]"

HEADER = f'''"""The AWS KMS API as tables: operations, shapes, exceptions. Generated: do not edit.

Source: botocore {BOTOCORE_VERSION}, kms/2014-11-01/service-2.json.
Command: python tools/generate_model.py

OPERATIONS  name -> (input shape, output shape or None, names of the modelled exceptions)
SHAPES      name -> traits; `members` maps a member's name to its shape; `member`, `key` and `value`
            name a shape
EXCEPTIONS  name -> (error code, HTTP status, names of the members)
"""
# One shape a line, so that the diff of two models reads as a list of changed shapes.
# ruff: noqa: E501
# fmt: off

from typing import Any, Final
'''


class ModelError(ValueError):
    """The service model holds something that the generator does not understand."""


def load_service_model() -> dict[str, Any]:
    """The parsed service-2.json of the installed botocore."""
    model: dict[str, Any] = Loader().load_service_model("kms", "service-2")
    return model


def _traits(name: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """One shape as plain literals. Raises ModelError for a trait that is not understood."""
    unknown = set(shape) - SHAPE_TRAITS - IGNORED_TRAITS
    if unknown:
        raise ModelError(
            f"shape {name} has the traits {sorted(unknown)}, which the generator does not know"
        )
    traits: dict[str, Any] = {"type": shape["type"]}
    if shape["type"] == "structure":
        for member, reference in shape["members"].items():
            unknown = set(reference) - MEMBER_TRAITS
            if unknown:
                raise ModelError(
                    f"member {name}.{member} has the traits {sorted(unknown)}, which the generator "
                    "does not know"
                )
        traits["members"] = {m: ref["shape"] for m, ref in shape["members"].items()}
        traits["required"] = tuple(shape.get("required", ()))
    for trait in ("member", "key", "value"):
        if trait in shape:
            traits[trait] = shape[trait]["shape"]
    for trait in ("min", "max", "pattern", "sensitive", "box"):
        if trait in shape:
            traits[trait] = shape[trait]
    if "enum" in shape:
        traits["enum"] = tuple(shape["enum"])
    return traits


def _reachable(shapes: Mapping[str, dict[str, Any]], roots: Iterator[str]) -> list[str]:
    """Names of every shape that the roots refer to, directly or not, sorted."""
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        traits = shapes[name]
        todo.extend(traits.get("members", {}).values())
        todo.extend(traits[trait] for trait in ("member", "key", "value") if trait in traits)
    return sorted(seen)


def _exception(name: str, shape: Mapping[str, Any]) -> tuple[str, int, tuple[str, ...]]:
    """Code, HTTP status, members. The model names no status: a fault is 500, others 400."""
    error = shape.get("error", {})
    status = error.get("httpStatusCode", 500 if shape.get("fault") else 400)
    return error.get("code", name), status, tuple(shape["members"])


def _table(name: str, annotation: str, rows: Iterator[tuple[str, object]]) -> list[str]:
    return [
        "",
        f"{name}: Final[{annotation}] = {{",
        *(f"    {key!r}: {value!r}," for key, value in rows),
        "}",
    ]


def generate(model: Mapping[str, Any]) -> str:
    """The text of generated.py for one service model."""
    shapes = {name: _traits(name, shape) for name, shape in model["shapes"].items()}
    operations = {
        name: (
            operation["input"]["shape"],
            operation["output"]["shape"] if "output" in operation else None,
            tuple(error["shape"] for error in operation.get("errors", ())),
        )
        for name, operation in sorted(model["operations"].items())
    }
    exceptions = {
        name: _exception(name, shape)
        for name, shape in sorted(model["shapes"].items())
        if shape.get("exception")
    }
    roots = (shape for row in operations.values() for shape in (*row[:2], *row[2]) if shape)
    lines = [
        *HEADER.splitlines(),
        "",
        f"BOTOCORE_VERSION: Final = {BOTOCORE_VERSION!r}",
        f"API_VERSION: Final = {model['metadata']['apiVersion']!r}",
        f"TARGET_PREFIX: Final = {model['metadata']['targetPrefix']!r}",
        *_table("OPERATIONS", OPERATION_ROWS, iter(operations.items())),
        *_table("SHAPES", SHAPE_ROWS, ((n, shapes[n]) for n in _reachable(shapes, roots))),
        *_table("EXCEPTIONS", EXCEPTION_ROWS, iter(exceptions.items())),
    ]
    return "\n".join(lines) + "\n"


def difference(expected: str, path: Path = OUTPUT) -> list[str]:
    """The +/- lines between the file and the expected text; empty when they are equal."""
    actual = path.read_text("utf-8") if path.exists() else ""
    diff = difflib.unified_diff(actual.splitlines(), expected.splitlines(), lineterm="", n=0)
    return [line for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    arguments = parser.parse_args(argv)
    if botocore.__version__ != BOTOCORE_VERSION:
        print(
            f"botocore {botocore.__version__} is installed, but the model is pinned to "
            f"{BOTOCORE_VERSION}: install that version, or change BOTOCORE_VERSION here with care",
            file=sys.stderr,
        )
        return 1
    text = generate(load_service_model())
    if not arguments.check:
        OUTPUT.write_text(text, "utf-8")
        return 0
    lines = difference(text)
    for line in lines[:40]:
        print(line if len(line) <= 160 else line[:157] + "...")
    if lines:
        print(
            f"{len(lines)} lines differ: run python tools/generate_model.py and review the change"
        )
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
