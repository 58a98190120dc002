"""Grants in the decision: whom one reaches, what it gives, and under which constraints.

A grant only allows; it is like a statement of the key policy that names its grantee, as AWS's
answers recorded in radkawar/stackd show. Source: AWS KMS Developer Guide, "Grants in AWS KMS"; AWS
KMS API reference, GrantConstraints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from clavero.iam.matching import Facts
from clavero.iam.principals import Match, Principal, Principals

# Facts beside the condition keys, which no policy can name: the encryption context of the request
# as names and values in turn, and for CreateGrant the grant that is wanted, as JSON.
CONTEXT: Final = "(encryption context)"
WANTED: Final = "(wanted grant)"

# Constraints on the encryption context do not count for these; that on the source counts for the
# first, and for the second no constraint does.
_WITHOUT_CONTEXT: Final = frozenset({"DescribeKey", "RetireGrant"})

_Pairs = frozenset[tuple[str, str]]


class Grant:
    """A grant as far as it decides. `issuing_account` is the account of who created it.

    `constraints` are those of CreateGrant.
    """

    __slots__ = (
        "_equals",
        "_grantee",
        "_retiring",
        "_source",
        "_subset",
        "constraints",
        "grant_id",
        "grantee",
        "issuing_account",
        "operations",
        "retiring",
    )

    def __init__(
        self,
        grant_id: str,
        *,
        grantee: str,
        operations: Iterable[str],
        issuing_account: str,
        retiring: str | None = None,
        constraints: Mapping[str, Any] | None = None,
    ) -> None:
        self.grant_id: Final = grant_id
        self.grantee: Final = grantee
        self.retiring: Final = retiring
        self.operations: Final = frozenset(operations)
        self.issuing_account: Final = issuing_account
        self._grantee: Final = _named(grantee)
        self._retiring: Final = None if retiring is None else _named(retiring)
        self.constraints: Final[Mapping[str, Any]] = constraints or {}
        given = self.constraints
        self._equals: Final = _folded(given.get("EncryptionContextEquals"))
        self._subset: Final = _folded(given.get("EncryptionContextSubset"))
        self._source: Final[str | None] = given.get("SourceArn")

    def __repr__(self) -> str:
        return f"<Grant {self.grant_id}>"

    def reaches(self, caller: Principal) -> Match:
        """How far the caller is the grantee."""
        return self._grantee.match(caller)

    def retired_by(self, caller: Principal) -> Match:
        """How far the caller may retire it: as retiring principal, or as grantee with leave."""
        retiring = Match.NOT if self._retiring is None else self._retiring.match(caller)
        if "RetireGrant" in self.operations:
            return max(retiring, self._grantee.match(caller))
        return retiring

    def gives(self, operation: str, facts: Facts) -> bool:
        """Whether it gives the operation (an action without `kms:`) for this request."""
        if operation not in self.operations:
            return False
        if operation == "CreateGrant":
            return self._covers_child(facts)
        if (
            self._source is not None
            and operation != "RetireGrant"
            and facts.get("aws:sourcearn") != self._source
        ):
            return False
        if operation in _WITHOUT_CONTEXT or (self._equals is None and self._subset is None):
            return True
        given = facts.get(CONTEXT)
        pairs = frozenset(_pairs(given)) if isinstance(given, tuple) else frozenset()
        if self._equals is not None:
            return pairs == self._equals
        return self._subset is not None and self._subset <= pairs

    def _covers_child(self, facts: Facts) -> bool:
        """Whether the wanted grant gives no more than this one does."""
        wanted = facts.get(WANTED)
        if not isinstance(wanted, str):
            return False
        child = json.loads(wanted)
        if not self.operations.issuperset(child["Operations"]):
            return False
        constraints = child["Constraints"]
        if self._source is not None and constraints.get("SourceArn") != self._source:
            return False
        equals = _folded(constraints.get("EncryptionContextEquals"))
        if self._equals is not None:
            return equals == self._equals
        if self._subset is not None:
            at_least = (
                equals
                if equals is not None
                else _folded(constraints.get("EncryptionContextSubset"))
            )
            return at_least is not None and self._subset <= at_least
        return True


def _named(principal: str) -> Principals:
    return Principals({"AWS": [principal]})


def _folded(pairs: Mapping[str, str] | None) -> _Pairs | None:
    """In a grant constraint, case does not matter in keys and does in values (API reference)."""
    return None if pairs is None else frozenset((key.lower(), pairs[key]) for key in pairs)


def _pairs(given: Sequence[str]) -> Iterable[tuple[str, str]]:
    return ((key.lower(), value) for key, value in zip(given[::2], given[1::2], strict=True))


def context_fact(pairs: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """The fact CONTEXT of an encryption context."""
    return tuple(text for pair in pairs.items() for text in pair) if pairs else None


def wanted_fact(operations: Iterable[str], constraints: Mapping[str, Any]) -> str:
    """The fact WANTED of a grant that is to be created."""
    return json.dumps({"Operations": sorted(operations), "Constraints": constraints})
