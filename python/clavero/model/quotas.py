"""The quotas of AWS KMS on resources: its defaults, each of which can be set.

Source: AWS KMS Developer Guide, "Resource quotas", and the API reference.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much of each resource there may be: of keys in an account and Region, else per key.

    `policy_bytes` bounds a key policy, `on_demand_rotations` the calls of RotateKeyOnDemand in the
    life of a key.
    """

    keys: int = 100_000
    aliases: int = 50
    grants: int = 50_000
    policy_bytes: int = 32_768
    tags: int = 50
    on_demand_rotations: int = 25
