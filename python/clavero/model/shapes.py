"""Shapes of the KMS API, as objects over the generated table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from clavero.model.generated import SHAPES

# AWS's pattern for key ids, aliases and their ARNs, which the model leaves out: it was measured for
# github.com/floci-io/floci/pull/3968.
ASCII_ONLY: Final = frozenset({"KeyIdType"})
ASCII_PATTERN: Final = r"^\p{ASCII}+$"


class Shape(NamedTuple):
    """One shape of the service model.

    `min` and `max` bound the length of a string (code points), blob (bytes) or list (members), or
    the value of an integer, and include the bound. `members` keeps the model's order.
    """

    name: str
    type: str
    members: Mapping[str, Shape]
    required: tuple[str, ...]
    member: Shape | None
    key: Shape | None
    value: Shape | None
    min: int | None
    max: int | None
    pattern: str | None
    enum: tuple[str, ...]
    sensitive: bool


_cache: dict[str, Shape] = {}


def shape(name: str) -> Shape:
    """The shape of that name. Raises KeyError when the model has none."""
    found = _cache.get(name)
    if found is None:
        traits = SHAPES[name]
        found = _cache[name] = Shape(
            name=name,
            type=traits["type"],
            members=MappingProxyType({m: shape(s) for m, s in traits.get("members", {}).items()}),
            required=traits.get("required", ()),
            member=shape(traits["member"]) if "member" in traits else None,
            key=shape(traits["key"]) if "key" in traits else None,
            value=shape(traits["value"]) if "value" in traits else None,
            min=traits.get("min"),
            max=traits.get("max"),
            pattern=traits.get("pattern"),
            enum=traits.get("enum", ()),
            sensitive=traits.get("sensitive", False),
        )
    return found
