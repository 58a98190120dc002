"""`clavero explain` and `clavero who-can`: why a call is allowed or denied, and who may make it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clavero.cli.files import pairs
from clavero.cli.output import write_json, write_rows
from clavero.cli.session import Misuse, Output, Refusal, Session

if TYPE_CHECKING:
    from clavero.callers import Attached
    from clavero.model.shapes import Shape

# Members that an operation demands and no policy can ask for: who asks why has none at hand.
_UNREAD: Final = ("CiphertextBlob", "ImportToken", "EncryptedKeyMaterial", "Mac", "Message",
                  "Plaintext", "PublicKey", "Signature")  # fmt: skip
# Where --key goes, whichever the operation has.
_KEYS: Final = ("KeyId", "DestinationKeyId", "TargetKeyId")
_CONTEXTS: Final = (
    "EncryptionContext",
    "SourceEncryptionContext",
    "DestinationEncryptionContext",
)

KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="A key id, key ARN, alias name or alias ARN."),
]
ContextOption = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="NAME=VALUE", help="Encryption context. Repeatable."),
]
SourceIp = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where the call comes from.")]
ViaService = Annotated[
    str | None,
    typer.Option(
        metavar="SERVICE",
        help="The service that makes it for the principal: s3.REGION.amazonaws.com.",
    ),
]
ConditionKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--condition-key",
        metavar="NAME=VALUE",
        help="A condition key that a session or a trusted party vouches for. Repeatable.",
    ),
]
Policies = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="An IAM policy of the principal. Repeatable."),
]
Boundary = Annotated[Path | None, typer.Option(metavar="FILE", help="Its permissions boundary.")]
SessionPolicies = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A session policy of the session. Repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("explain")(explain)
    app.command("who-can")(who_can)


def explain(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="Such as Decrypt.")],
    key: KeyOption = None,
    encryption_context: ContextOption = None,
    grant_token: Annotated[
        list[str] | None, typer.Option(metavar="TOKEN", help="A grant token. Repeatable.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEMBER=VALUE",
            help="A further member of the request, as text or JSON. Repeatable.",
        ),
    ] = None,
    source_ip: SourceIp = None,
    via_service: ViaService = None,
    condition_key: ConditionKeys = None,
    identity_policy: Policies = None,
    permissions_boundary: Boundary = None,
    session_policy: SessionPolicies = None,
) -> None:
    """Say whether --principal may call an operation: by which statement or grant, or what lacks.

    Nothing is run. Bytes that the operation demands and no policy reads need not be given.
    """
    from clavero.model.operations import OPERATIONS

    session: Session = context.obj
    name = operation.removeprefix("kms:")
    known = OPERATIONS.get(name)
    if known is None:
        raise Misuse(f"KMS has no operation {operation!r}; their names are AWS's: GenerateDataKey.")
    members = known.input.members
    params: dict[str, Any] = _params(name, members, param or ())
    if key is not None:
        params[_place("--key", _KEYS, name, members)] = key
    if encryption_context:
        _place("--context", _CONTEXTS, name, members)
        given = pairs("--context", encryption_context)
        params |= {member: given for member in _CONTEXTS if member in members}
    if grant_token:
        params[_place("--grant-token", ("GrantTokens",), name, members)] = grant_token
    for member in _UNREAD:
        if member in members:
            params.setdefault(member, b"\0")
    attached = _vouched(source_ip, via_service, condition_key)
    if identity_policy:
        attached["identity_policies"] = [_document(path) for path in identity_policy]
    if permissions_boundary is not None:
        attached["permissions_boundary"] = _document(permissions_boundary)
    if session_policy:
        attached["session_policy"] = [_document(path) for path in session_policy]
    with session.client(attached=attached) as client:
        answer = client.explain(name, **params)
    if session.output is Output.JSON:
        write_json(answer)
        return
    from clavero.iam.reasons import sentence

    write_rows(
        ["Action", "Resource", "Allowed", "Why"],
        (
            [each["Action"], each["Resource"] or "(not there)", each["Allowed"], sentence(each)]
            for each in answer["Checks"]
        ),
    )


def who_can(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as kms:Decrypt.")],
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A key id, key ARN, alias name or alias ARN.")
    ],
    encryption_context: ContextOption = None,
    source_ip: SourceIp = None,
    via_service: ViaService = None,
    condition_key: ConditionKeys = None,
) -> None:
    """List every principal that may take an action on a key, by what, and under which conditions.

    What is not said of the request with the options is left open: its conditions are listed.
    """
    session: Session = context.obj
    given = pairs("--context", encryption_context or ())
    with session.client(attached=_vouched(source_ip, via_service, condition_key)) as client:
        try:
            answer = client.who_can(action, key, given or None)
        except ValueError as error:
            raise Misuse(str(error)) from error
    if session.output is Output.JSON:
        write_json(answer)
        return
    write_rows(
        ["Principal", "By", "Unless"],
        (
            [
                each["Principal"] if first else "",
                "; ".join(map(_part, way)),
                unless if first else "",
            ]
            for each in answer["Principals"]
            for unless in ["; ".join(map(_part, each.get("Unless", ())))]
            for first, way in zip([True, *[False] * len(each["Ways"])], each["Ways"], strict=False)
        ),
    )


def _part(part: Mapping[str, Any]) -> str:
    from clavero.iam.reasons import phrase

    conditions = part.get("If")
    return phrase(dict(part)) + (f", if {json.dumps(conditions)}" if conditions else "")


def _place(option: str, places: Sequence[str], name: str, members: Mapping[str, Shape]) -> str:
    for place in places:
        if place in members:
            return place
    raise Misuse(f"{name} has no place for {option}.")


def _params(name: str, members: Mapping[str, Shape], given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        member, equals, value = text.partition("=")
        if not equals or member not in members:
            raise Misuse(f"--param takes MEMBER=VALUE with a member of {name}: not {member!r}.")
        try:
            found[member] = json.loads(value)
        except ValueError:
            found[member] = value
    return found


def _vouched(
    source_ip: str | None, via_service: str | None, condition_keys: Sequence[str] | None
) -> Attached:
    attached: Attached = {}
    if source_ip is not None:
        attached["source_ip"] = source_ip
    if via_service is not None:
        attached["via_service"] = via_service
    if condition_keys:
        attached["condition_keys"] = pairs("--condition-key", condition_keys)
    return attached


def _document(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refusal(f"{path} is no policy document: it is not in UTF-8.") from None
