"""Who may know whom, where import-linter and the compiler do not look.

import-linter keeps the order of the Python modules (pyproject.toml), but does not see compiled
ones; the compiler keeps the crates apart, but not the modules of one crate.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "clavero"
HSM = ROOT / "rust" / "hsm" / "src"

# The door to the HSM. Everything else reaches a key through the key store.
MAY_IMPORT_NATIVE = {
    "__init__.py": "hands out the public names, on demand",
    "audit/record.py": "the extension writes the lines of usual records",
    "batches.py": "a batch's bytes lie in memory that Rust owns",
    "keystores/attested.py": "the key store's answers for attested recipients",
    "identity/accounts.py": "has secret access keys sealed, and opened for their users",
    "keystores/native.py": "the key store over the HSM",
    "kms.py": "opens the HSM",
    "maintenance.py": "rotates the domain keys and evicts idle keys",
    "server/endpoint.py": "starts the endpoint, which is Rust",
    "wire/json11.py": "the extension reads and writes JSON",
}

# What a pure module may import besides itself and the model: nothing that reads a file, a clock or
# another thread's state.
PURE_STDLIB = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fnmatch", "functools", "ipaddress", "itertools", "json",
    "operator", "re", "types", "typing",
}  # fmt: skip

# clavero-hsm, bottom first. A module uses modules of the rows above its own only.
HSM_ORDER = (
    {"error"},
    {"memory"},
    {"rng"},
    {"crypto"},
    {"selftest"},
    {"key"},
    {"sealed"},
    {"blob", "cms", "context", "token"},
    {"keytable", "domain"},
    {"hsm"},
    {"message", "asymmetric", "signing"},
    {"batch", "pairs", "import"},
    {"recipient", "transfer"},
)


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports anywhere; `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = ["clavero", *path.relative_to(PACKAGE).parts[:-1]]
                base = ".".join(package[: len(package) - node.level + 1])
                module = f"{base}.{module}".rstrip(".")
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def test_only_the_doors_import_the_extension():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[:2] == ["clavero", "_native"] for name in imported(path))
    }
    assert found <= set(MAY_IMPORT_NATIVE), "go through clavero.keystores instead"
    assert found == set(MAY_IMPORT_NATIVE), "take what no longer imports it out of the list"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "iam").rglob("*.py")), ids=lambda path: path.name
)
def test_authorisation_is_pure(path: Path):
    for name in imported(path):
        package = name.split(".")[0]
        allowed = package in PURE_STDLIB or name.startswith(("clavero.iam", "clavero.model"))
        assert allowed or name == "clavero", f"{path.name} imports {name}"


def test_randomness_comes_from_the_hsm():
    # cli and testing are no part of the service: a demo may draw a sample
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in {"cli", "testing.py"}:
            continue
        drawn = imported(path) & {"random", "secrets", "uuid", "os.urandom"}
        assert not drawn, f"{path} imports {drawn}"
        assert "urandom" not in path.read_text(encoding="utf-8"), path


def test_runtime_imports_are_declared():
    """A user has SQLAlchemy and Alembic, and an extra only where it was asked for."""
    optional = {
        "boto3",
        "botocore",
        "jmespath",
        "numpy",
        "opentelemetry",
        "typer",
        "rich",
        "cryptography",
        "pyarrow",
        "pytest",
    }
    for path in PACKAGE.rglob("*.py"):
        packages = {name.split(".")[0] for name in imported(path)}
        foreign = packages - set(sys.stdlib_module_names) - {"clavero", "sqlalchemy", "alembic"}
        assert foreign <= optional, f"{path} imports {foreign - optional}"


def code(path: Path) -> str:
    """A Rust file without its comments."""
    return re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))


def hsm_uses(text: str) -> set[str]:
    """The modules of the crate that a file names: crate::a::b, and crate::{a::b, c}."""
    names = set(re.findall(r"\bcrate::([a-z_]+)", text))
    for group in re.findall(r"\bcrate::\{(.*?)\};", text, re.DOTALL):
        flat = re.sub(r"\{[^{}]*\}", "", group)
        names.update(part.strip().split("::")[0] for part in flat.split(",") if part.strip())
    return {name for name in names if name[0].islower()}


def test_the_modules_of_the_hsm_stand_in_order():
    rank = {name: number for number, row in enumerate(HSM_ORDER) for name in row}
    files = [path for path in HSM.rglob("*.rs") if path.name != "lib.rs"]
    assert {path.relative_to(HSM).parts[0].removesuffix(".rs") for path in files} == set(rank)
    for path in files:
        own = path.relative_to(HSM).parts[0].removesuffix(".rs")
        for used in hsm_uses(code(path)) - {own}:
            assert rank[used] < rank[own], f"{own} uses {used}, which does not stand below it"


def test_the_crates_do_their_own_work_only():
    for path in sorted(ROOT.glob("rust/*/src/**/*.rs")):
        crate, text = path.relative_to(ROOT / "rust").parts[0], code(path)
        if crate != "python":
            assert "pyo3" not in text, f"{path}: only rust/python speaks Python"
        if crate == "hsm":
            for door in ("std::fs", "std::net", "std::process::Command", "SystemTime"):
                assert door not in text, f"{path}: the HSM has no I/O, and time is an argument"
