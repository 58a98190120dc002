"""AWS query protocol as STS speaks it, for the one operation that a KMS client may need.

Source: AWS STS API Reference, "GetCallerIdentity" (version 2011-06-15) and "Common Errors". It asks
for no permission and for nothing but a valid signature.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from clavero.iam.principals import Principal

VERSION: Final = "2011-06-15"
_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
_ACTION: Final = "GetCallerIdentity"
# The request has two short parameters; more is no request of this service.
_MAX_PARAMETERS: Final = 32


def respond(principal: Principal, body: bytes, request_id: str) -> tuple[int, str, bytes]:
    """Status, request id and body of the answer to a form."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        return _refused(request_id, "MalformedQueryString", "The request is no form.")
    form = dict(pairs)
    if len(form) != len(pairs):
        return _refused(request_id, "MalformedQueryString", "A parameter stands twice.")
    action, version = form.get("Action", ""), form.get("Version", "")
    if action != _ACTION or version != VERSION:
        return _refused(
            request_id,
            "InvalidAction",
            f"Could not find operation {action[:64]} for version {version[:64]}",
        )
    user_id = principal.account if principal.is_root else principal.arn
    text = (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}">\n'
        "  <GetCallerIdentityResult>\n"
        f"    <Arn>{escape(principal.arn)}</Arn>\n"
        f"    <UserId>{escape(user_id)}</UserId>\n"
        f"    <Account>{escape(principal.account)}</Account>\n"
        "  </GetCallerIdentityResult>\n"
        "  <ResponseMetadata>\n"
        f"    <RequestId>{request_id}</RequestId>\n"
        "  </ResponseMetadata>\n"
        "</GetCallerIdentityResponse>\n"
    )
    return 200, request_id, text.encode()


def _refused(request_id: str, code: str, message: str) -> tuple[int, str, bytes]:
    text = (
        f'<ErrorResponse xmlns="{_NAMESPACE}">\n  <Error>\n    <Type>Sender</Type>\n'
        f"    <Code>{code}</Code>\n    <Message>{escape(message)}</Message>\n  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
    return 400, request_id, text.encode()
