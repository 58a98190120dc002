"""What a session token says: everything about a session, so that nothing of it is stored.

The HSM seals it together with the session's secret access key, so that only this deployment can
read or make one. Source: AWS STS API Reference; IAM User Guide, "Temporary security credentials".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

ROLE: Final = "role"
USER: Final = "user"
FEDERATED: Final = "federated"
ROOT: Final = "root"


@dataclass(frozen=True, slots=True)
class Session:
    """A session: temporary credentials that AssumeRole or another operation of STS gave.

    `unique_id` is that of the role, or of the user whose session it is or who had it made; empty
    for the root user. `name` is the session's, of AssumeRole and GetFederationToken. `policies` are
    the session policies (None: there are none, which limits nothing but a federated session).
    `tags` are the session's, of which those in `transitive` go on to roles that it assumes. Times
    are epoch seconds. `chained` says that it was made with the credentials of another role.
    """

    kind: str
    account: str
    unique_id: str
    name: str
    issued: float
    expires: float
    policies: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: tuple[str, ...] = ()
    source_identity: str = ""
    mfa: bool = False
    chained: bool = False

    def encode(self) -> bytes:
        """What is sealed."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, claims: bytes) -> Session:
        """What was sealed. It was authenticated, so that it is as `encode` wrote it."""
        found: dict[str, Any] = json.loads(claims)
        policies = found["policies"]
        found["policies"] = None if policies is None else tuple(policies)
        found["transitive"] = tuple(found["transitive"])
        return cls(**found)
