"""MACs: GenerateMac, VerifyMac."""

from __future__ import annotations

from typing import Final

from clavero.model import errors, specs
from clavero.ops import states
from clavero.ops.call import Call, Response, as_bytes
from clavero.ops.context import OpsContext
from clavero.ops.registry import Handler, by_any_name
from clavero.ops.usage import algorithm_of, fits


def generate_mac(context: OpsContext, call: Call) -> Response:
    """GenerateMac."""
    key = call.keys[0]
    algorithm = algorithm_of(call, key, specs.GENERATE_VERIFY_MAC, "MacAlgorithm")
    message = as_bytes(call.params["Message"])
    mac = context.keystore.generate_mac(key.current, algorithm, message)
    return {"Mac": mac, "MacAlgorithm": algorithm, "KeyId": key.arn}


def verify_mac(context: OpsContext, call: Call) -> Response:
    """VerifyMac: KMSInvalidMacException unless the MAC is the key's of the message."""
    key = call.keys[0]
    algorithm = algorithm_of(call, key, specs.GENERATE_VERIFY_MAC, "MacAlgorithm")
    message, mac = as_bytes(call.params["Message"]), as_bytes(call.params["Mac"])
    if not context.keystore.verify_mac(key.current, algorithm, message, mac):
        raise errors.invalid_mac()
    return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": algorithm}


HANDLERS: Final = (
    Handler(
        "GenerateMac",
        generate_mac,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.GENERATE_VERIFY_MAC),
    ),
    Handler(
        "VerifyMac",
        verify_mac,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.GENERATE_VERIFY_MAC),
    ),
)
