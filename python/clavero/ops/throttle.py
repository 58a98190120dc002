"""Request quotas in force: a token bucket for each account, Region and class of operations.

A bucket holds what one second allows, so that a burst of that much passes, and fills at the quota's
rate by the KMS's own clock. Rate-limiting libraries read a clock of their own, which no test could
move; what they would spare is the arithmetic of `_Bucket.holds`.
"""

from __future__ import annotations

import threading
from typing import Final

from clavero.model import errors
from clavero.model.requestquotas import RequestQuotas, classes_of
from clavero.ops.batch import BatchOperation
from clavero.ops.call import Call

# Rounding of times in seconds since 1970 must not cost a request that is due.
_ROUNDING: Final = 1e-5
# Buckets that are kept; beyond it those that are full are forgotten, for a new one is as full.
# Requests name Regions (ReplicaRegion), and any number of them.
MAX_BUCKETS: Final = 65_536


class _Bucket:
    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._size = self._tokens = max(1.0, rate)
        self._at = now

    def holds(self, count: int, now: float) -> bool:
        """Whether it holds so many tokens by now, or all that it can hold."""
        if now > self._at:  # a clock that was set back fills nothing
            self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return self._tokens >= min(count, self._size) - _ROUNDING * self._rate

    def take(self, count: int) -> None:
        self._tokens -= count

    def is_full(self, now: float) -> bool:
        """Whether nothing that was taken is missing any more."""
        return self._tokens + max(0.0, now - self._at) * self._rate >= self._size


class Throttle:
    """Counts requests, and refuses what exceeds a quota: ThrottlingException.

    A request counts for the account that makes it, whoever owns the key. What was refused does not
    count. A batch is one request.
    """

    def __init__(self, quotas: RequestQuotas) -> None:
        self._quotas = quotas
        self._buckets: dict[tuple[str, str, str], _Bucket | None] = {}
        self._lock = threading.Lock()

    def admit(self, call: Call) -> None:
        """Count the call, whose keys are known; raises KMSError where a quota is exceeded."""
        account = call.principal.account
        with self._lock:
            if len(self._buckets) > MAX_BUCKETS:
                self._forget_full(call.time)
            found = []
            for name, region, count in _uses(call):
                bucket = self._bucket(account, region, name, call.time)
                if bucket is None:
                    continue
                if not bucket.holds(count, call.time):
                    raise errors.throttled()
                found.append((bucket, count))
            for bucket, count in found:
                bucket.take(count)

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            place: bucket
            for place, bucket in self._buckets.items()
            if bucket is not None and not bucket.is_full(now)
        }

    def _bucket(self, account: str, region: str, name: str, now: float) -> _Bucket | None:
        place = (account, region, name)
        if place not in self._buckets:
            rate = self._quotas.rate(name, region)
            self._buckets[place] = None if rate is None else _Bucket(rate, now)
        return self._buckets[place]


def _uses(call: Call) -> list[tuple[str, str, int]]:
    """Class, Region and number of requests as which the call counts."""
    operation = call.operation
    name = operation.single if isinstance(operation, BatchOperation) else operation.name
    params, region = call.params, call.scope.region
    classes = classes_of(name, [key.row.spec for key in call.keys], params.get("KeyPairSpec"))
    uses = [(each, region, 1) for each in sorted(classes)]
    # AWS: "counts as one ReplicateKey request in the primary key's Region and two CreateKey
    # requests in the replica's", and "one request in each of the two affected Regions".
    if name == "ReplicateKey":
        uses.append(("CreateKey", params["ReplicaRegion"], 2))
    elif name == "UpdatePrimaryRegion":
        uses.append((name, params["PrimaryRegion"], 1))
    return uses
