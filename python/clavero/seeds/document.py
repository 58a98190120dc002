"""The seed document: read from JSON, TOML or a dict, and checked as the API checks its calls.

Everything that is wrong is a SeedError that names the place: `seed.json: keys[3].materiel: ...`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from clavero.model import arn, errors, specs
from clavero.model.errors import KMSError
from clavero.model.operations import OPERATIONS
from clavero.seeds.material import decode

Source: TypeAlias = "Mapping[str, Any] | str | os.PathLike[str]"

AWS_KMS: Final = "AWS_KMS"
EXTERNAL: Final = "EXTERNAL"
MRK: Final = "mrk-"
# AWS KMS Developer Guide, "Rotate AWS KMS keys": the default period.
DEFAULT_PERIOD: Final = 365


class SeedError(Exception):
    """A seed cannot be used, or does not agree with the store. Nothing of it was applied."""


@dataclass(frozen=True, slots=True)
class SeedKey:
    """One key of a seed. `given` are the members that the seed names; the rest are defaults."""

    where: str
    given: frozenset[str]
    account: str
    region: str
    id: str
    spec: str
    usage: str
    origin: str
    multi_region: bool
    description: str
    enabled: bool
    rotation: int | None
    policy: str | None
    tags: list[dict[str, str]]
    aliases: list[str]
    material: list[bytes] = field(repr=False)

    @property
    def named(self) -> tuple[str, str, str]:
        """Region, account and key id."""
        return self.region, self.account, self.id

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return arn.key_arn(*self.named)

    def refuse(self, member: str, why: str) -> NoReturn:
        """Raise the SeedError that names the member."""
        raise SeedError(f"{self.where}.{member}: {why}")


def load(source: Source, account: str, region: str) -> list[SeedKey]:
    """The keys of a seed: a dict, or the path of a file (`.toml` is TOML, any other JSON).

    `account` and `region` are those of keys that name none. Raises SeedError, and OSError where the
    file cannot be read.
    """
    name, document = read(source)
    entries = document.get("keys", [])
    if not isinstance(entries, list):
        raise SeedError(f"{name}: keys: must be a list")
    keys = [
        _key(f"{name}: keys[{number}]", entry, account, region)
        for number, entry in enumerate(entries)
    ]
    _check_unique(keys)
    return keys


def read(source: Source) -> tuple[str, Mapping[str, Any]]:
    """The seed's name in messages, and the document, whose members are known to be a seed's."""
    if isinstance(source, Mapping):
        name, document = "seed", source
    else:
        path = Path(source)
        name, document = path.name, _read(path)
    check_members(name, document, {"accounts", "keys"})
    return name, document


def _read(path: Path) -> Any:
    text = path.read_bytes()
    try:
        if path.suffix.lower() == ".toml":
            return tomllib.loads(text.decode())
        return json.loads(text, object_pairs_hook=_unique)
    except SeedError as error:
        raise SeedError(f"{path.name}: {error}") from None
    # Only the position: the text around it may be key material.
    except json.JSONDecodeError as error:
        raise SeedError(
            f"{path.name}: line {error.lineno}, column {error.colno}: this is not JSON"
        ) from None
    except (ValueError, RecursionError):
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        raise SeedError(f"{path.name}: the file is not valid {kind} in UTF-8") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SeedError(f"the member {twice[:64]!r} is there twice in one object")
    return made


def check_members(where: str, value: Any, known: set[str]) -> None:
    if not isinstance(value, Mapping):
        raise SeedError(f"{where}: must be an object with members, not {_kind(value)}")
    dot = ": " if ": " not in where else "."
    for name in value:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise SeedError(f"{where}{dot}{str(name)[:64]}: unknown member; {hint}")


def _kind(value: Any) -> str:
    return "null" if value is None else f"a value of type {type(value).__name__}"


MEMBERS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "account": (str, "a string"),
    "region": (str, "a string"),
    "id": (str, "a string"),
    "spec": (str, "a string"),
    "usage": (str, "a string"),
    "origin": (str, "a string"),
    "multi_region": (bool, "true or false"),
    "description": (str, "a string"),
    "enabled": (bool, "true or false"),
    "rotation": ((bool, int), "true, false, or a number of days"),
    "policy": ((str, Mapping), "a string or an object"),
    "tags": ((Mapping, list), "an object of strings, or a list of TagKey and TagValue"),
    "aliases": (list, "a list of strings"),
    "material": (list, "a list of strings, the oldest version first"),
}


def _key(where: str, entry: Any, account: str, region: str) -> SeedKey:
    check_members(where, entry, set(MEMBERS))
    for name, value in entry.items():
        kinds, wanted = MEMBERS[name]
        if not isinstance(value, kinds):
            raise SeedError(f"{where}.{name}: must be {wanted}, not {_kind(value)}")
    if "id" not in entry:
        raise SeedError(f"{where}: id is missing: give the key id, a UUID")
    check = _Checks(where)
    spec = check.shape("spec", "CreateKey", "KeySpec", entry.get("spec", specs.SYMMETRIC_DEFAULT))
    usage = entry.get("usage")
    if usage is not None:
        check.shape("usage", "CreateKey", "KeyUsage", usage)
    usage = check.call("usage", specs.usage_of, spec, usage)
    made = SeedKey(
        where=where,
        given=frozenset(entry),
        account=entry.get("account", account),
        region=entry.get("region", region),
        id=entry["id"],
        spec=spec,
        usage=usage,
        origin=check.shape("origin", "CreateKey", "Origin", entry.get("origin", AWS_KMS)),
        multi_region=entry.get("multi_region", entry["id"].startswith(MRK)),
        description=check.shape(
            "description", "CreateKey", "Description", entry.get("description", "")
        ),
        enabled=entry.get("enabled", True),
        rotation=_rotation(check, entry.get("rotation", False)),
        policy=_policy(check, entry.get("policy")),
        tags=_tags(check, entry.get("tags", {})),
        aliases=[
            _alias(check, number, name) for number, name in enumerate(entry.get("aliases", []))
        ],
        material=[
            _material(check, spec, number, each)
            for number, each in enumerate(entry.get("material", []))
        ],
    )
    _check_whole(made)
    return made


def _check_whole(key: SeedKey) -> None:
    """What members mean together."""
    if not arn.is_account(key.account):
        key.refuse("account", f"must be 12 digits, not {key.account[:64]!r}")
    if not arn.is_region(key.region):
        key.refuse("region", f"must be the name of an AWS Region, not {key.region[:64]!r}")
    if not arn.is_key_id(key.id):
        key.refuse("id", "must be a lower-case UUID, or mrk- and 32 hexadecimal digits")
    if key.multi_region != key.id.startswith(MRK):
        key.refuse("multi_region", "the ids of multi-Region keys, and no others, begin with mrk-")
    if key.origin not in {AWS_KMS, EXTERNAL}:
        key.refuse("origin", f"must be {AWS_KMS} or {EXTERNAL}: {key.origin} is not in this store")
    symmetric = key.spec == specs.SYMMETRIC_DEFAULT
    if len(key.material) > 1 and not symmetric:
        key.refuse("material", f"keys of spec {key.spec} do not rotate: give one version")
    if key.rotation is not None and not (symmetric and key.origin == AWS_KMS):
        key.refuse("rotation", "only symmetric keys of origin AWS_KMS rotate by themselves")
    if key.origin == EXTERNAL and not key.material:
        if key.given & {"material"}:
            key.refuse("material", "is empty: leave it out for a key that waits for its import")
        if "enabled" in key.given:
            key.refuse("enabled", "a key that waits for its import is neither: leave it out")


class _Checks:
    """Validation by the model and by the rules of the API, told as what is wrong in the seed."""

    def __init__(self, where: str) -> None:
        self._where = where

    def refuse(self, member: str, why: str) -> NoReturn:
        raise SeedError(f"{self._where}.{member}: {why}")

    def shape(self, member: str, operation: str, parameter: str, value: Any) -> Any:
        """The value, once the model accepts it as that parameter of the operation."""
        shape = OPERATIONS[operation].input.members[parameter]
        problem = OPERATIONS[operation].explain({parameter: value, **_REQUIRED.get(operation, {})})
        if problem is not None:
            values = f"must be one of {', '.join(shape.enum)}" if shape.enum else problem.message
            self.refuse(member, values)
        return value

    def call(self, member: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function gives; its refusal as the member's."""
        try:
            return function(*arguments)
        except KMSError as error:
            self.refuse(member, error.message or error.code)


_ANY_KEY: Final = {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}
_REQUIRED: Final[Mapping[str, Mapping[str, Any]]] = {
    "CreateAlias": {"TargetKeyId": _ANY_KEY["KeyId"]},
    "EnableKeyRotation": _ANY_KEY,
}


def _rotation(check: _Checks, given: bool | int) -> int | None:
    if given is False:
        return None
    if given is True:
        return DEFAULT_PERIOD
    days: int = check.shape("rotation", "EnableKeyRotation", "RotationPeriodInDays", given)
    return days


def _policy(check: _Checks, given: str | Mapping[str, Any] | None) -> str | None:
    if given is None:
        return None
    try:
        text = given if isinstance(given, str) else json.dumps(given)
    except (TypeError, ValueError):
        check.refuse("policy", "has values that are not of JSON")
    checked: str = check.shape("policy", "CreateKey", "Policy", text)
    return checked


def _tags(check: _Checks, given: Any) -> list[dict[str, str]]:
    pairs: Any = given
    if isinstance(given, Mapping):
        pairs = [{"TagKey": name, "TagValue": value} for name, value in given.items()]
    checked: list[dict[str, str]] = check.shape("tags", "CreateKey", "Tags", pairs)
    return checked


def _alias(check: _Checks, number: int, name: Any) -> str:
    member = f"aliases[{number}]"
    check.shape(member, "CreateAlias", "AliasName", name)
    check.call(member, arn.check_alias_name, name)
    if arn.is_reserved_alias(name):
        check.refuse(member, errors.alias_reserved(name).message)
    checked: str = name
    return checked


def _material(check: _Checks, spec: str, number: int, given: Any) -> bytes:
    member = f"material[{number}]"
    if isinstance(given, (bytearray, memoryview)):
        given = bytes(given)
    if not isinstance(given, (str, bytes)):
        check.refuse(member, f"must be base64 or PEM in a string, not {_kind(given)}")
    try:
        return decode(spec, given)
    except ValueError as error:
        check.refuse(member, str(error))


def _check_unique(keys: list[SeedKey]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for key in keys:
        names = [("id", key.id), *((f"aliases[{i}]", each) for i, each in enumerate(key.aliases))]
        for member, name in names:
            first = seen.setdefault((key.region, key.account, name), f"{key.where}.{member}")
            if first != f"{key.where}.{member}":
                key.refuse(member, f"is there twice: {first.partition(': ')[2]} has it too")
