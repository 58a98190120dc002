"""What a backing key is bound to: every field of it is authenticated in the key's token."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Bound(Protocol):
    """What a key's backing keys are bound to: its stored row has all of it."""

    @property
    def region(self) -> str:
        """AWS Region."""

    @property
    def account(self) -> str:
        """12 digits."""

    @property
    def key_id(self) -> str:
        """The KMS key id."""

    @property
    def spec(self) -> str:
        """KeySpec."""

    @property
    def usage(self) -> str:
        """KeyUsage."""

    @property
    def origin(self) -> str:
        """Origin."""

    @property
    def multi_region(self) -> bool:
        """Whether it is a multi-Region key."""


class Binding(NamedTuple):
    """Whose a backing key is and what for: every field is authenticated in its token."""

    region: str
    account: str
    key_id: str
    spec: str
    usage: str
    origin: str
    multi_region: bool = False

    @classmethod
    def of(cls, key: Bound) -> Binding:
        """The binding of a key's backing keys."""
        return cls(
            key.region,
            key.account,
            key.key_id,
            key.spec,
            key.usage,
            key.origin,
            key.multi_region,
        )
