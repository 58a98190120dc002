"""GetCallerIdentity, the one operation of STS: in the pipeline, so that it is on record as all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clavero.ops import facts
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext
from clavero.ops.registry import Handler, Need


class _Operation:
    """An operation without parameters, which KMS's model does not have."""

    name: Final = "GetCallerIdentity"

    def is_exact(self, _params: Any, /) -> bool:
        """Always: there is nothing to read."""
        return True

    def validated(self, _params: Any, /) -> dict[str, Any]:
        """No parameters."""
        return {}


GET_CALLER_IDENTITY: Final = _Operation()


def get_caller_identity(_context: OpsContext, call: Call) -> Response:
    """Who asks."""
    principal = call.principal
    user_id = facts.user_id(principal) or principal.arn
    return {"Arn": principal.arn, "UserId": user_id, "Account": principal.account}


def _no_permission(_call: Call) -> Sequence[Need]:
    # AWS: no permissions are needed, and a policy that denies them changes nothing.
    return ()


HANDLERS: Final = (Handler("GetCallerIdentity", get_caller_identity, needs=_no_permission),)
