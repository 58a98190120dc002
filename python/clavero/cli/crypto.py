"""`clavero encrypt`, `decrypt`, `re-encrypt`, `data-key`, `random`: what a key is for."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from clavero.cli.files import STDIN, pairs, read_blob, read_plaintext, write
from clavero.cli.output import write_json, write_record
from clavero.cli.session import Misuse, Output, Session

# One random byte string of GenerateRandom (AWS KMS API reference: NumberOfBytes).
_MAX_RANDOM = 1024

Key = Annotated[
    str, typer.Option("--key", metavar="KEY", help="A key id, key ARN, alias name or alias ARN.")
]
ExpectedKey = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Refuse a ciphertext of any other key."),
]
Source = Annotated[
    str, typer.Argument(metavar="[FILE]", help="The input; '-' is the standard input.")
]
Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="NAME=VALUE", help="Encryption context. Repeatable."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write there, not to standard output.")
]
RawOut = Annotated[bool, typer.Option("--raw", help="Write bytes, not base64.")]


class DataKeySpec(StrEnum):
    """KeySpec of a data key."""

    AES_256 = "AES_256"
    AES_128 = "AES_128"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("encrypt")(encrypt)
    app.command("decrypt")(decrypt)
    app.command("re-encrypt")(re_encrypt)
    app.command("data-key")(data_key)
    app.command("random")(random)


def _context(values: list[str] | None) -> dict[str, dict[str, str]]:
    found = pairs("--context", values or ())
    return {"EncryptionContext": found} if found else {}


def _refuse_bytes_in_json(session: Session, out: Path | None, *, raw: bool) -> None:
    if raw and out is None and session.output is Output.JSON:
        raise Misuse("--raw and --output json need --out: bytes are not JSON.")


def _give(
    session: Session,
    answer: dict[str, Any],
    member: str,
    out: Path | None,
    *,
    raw: bool,
    secret: bool,
) -> None:
    """The bytes to the file or the standard output; as JSON, the answer without what a file has."""
    if session.output is Output.JSON:
        if out is not None:
            write(answer.pop(member), out, raw=raw, secret=secret)
        write_json(answer)
    else:
        write(answer[member], out, raw=raw, secret=secret)


def encrypt(
    context: typer.Context,
    key: Key,
    source: Source = STDIN,
    encryption_context: Context = None,
    out: Out = None,
    raw: RawOut = False,
) -> None:
    """Encrypt up to 4096 bytes of a file or the standard input under a key."""
    session: Session = context.obj
    _refuse_bytes_in_json(session, out, raw=raw)
    params = _context(encryption_context)
    plaintext = read_plaintext(source)
    with session.client() as client:
        answer = client.encrypt(KeyId=key, Plaintext=plaintext, **params)
    _give(session, answer, "CiphertextBlob", out, raw=raw, secret=False)


def decrypt(
    context: typer.Context,
    source: Source = STDIN,
    key: ExpectedKey = None,
    encryption_context: Context = None,
    out: Out = None,
    raw: Annotated[bool, typer.Option("--raw", help="The input is bytes, not base64.")] = False,
) -> None:
    """Decrypt a ciphertext blob: the plaintext's bytes, to the standard output or a file."""
    session: Session = context.obj
    params: dict[str, Any] = _context(encryption_context)
    if key is not None:
        params["KeyId"] = key
    blob = read_blob(source, raw=raw)
    with session.client() as client:
        answer = client.decrypt(CiphertextBlob=blob, **params)
    _give(session, answer, "Plaintext", out, raw=True, secret=True)


def re_encrypt(
    context: typer.Context,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The key to encrypt under.")],
    source: Source = STDIN,
    source_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Refuse a ciphertext of any other key."),
    ] = None,
    encryption_context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            metavar="NAME=VALUE",
            help="Encryption context of the ciphertext. Repeatable.",
        ),
    ] = None,
    destination_context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Encryption context of the new ciphertext. Repeatable."
        ),
    ] = None,
    out: Out = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Input and output are bytes, not base64.")
    ] = False,
) -> None:
    """Encrypt a ciphertext blob under another key or context; its plaintext stays in the HSM."""
    session: Session = context.obj
    _refuse_bytes_in_json(session, out, raw=raw)
    params: dict[str, Any] = {"DestinationKeyId": key}
    if before := pairs("--context", encryption_context or ()):
        params["SourceEncryptionContext"] = before
    if after := pairs("--destination-context", destination_context or ()):
        params["DestinationEncryptionContext"] = after
    if source_key is not None:
        params["SourceKeyId"] = source_key
    blob = read_blob(source, raw=raw)
    with session.client() as client:
        answer = client.re_encrypt(CiphertextBlob=blob, **params)
    _give(session, answer, "CiphertextBlob", out, raw=raw, secret=False)


def data_key(
    context: typer.Context,
    key: Key,
    spec: Annotated[
        DataKeySpec | None, typer.Option(help="The kind of key.", show_default="AES_256")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--bytes", metavar="N", help="Its size instead, 1 to 1024.")
    ] = None,
    encryption_context: Context = None,
    without_plaintext: Annotated[
        bool, typer.Option("--without-plaintext", help="Give the ciphertext blob only.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ciphertext blob there.")
    ] = None,
    plaintext_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the plaintext there, for its owner alone."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Files get bytes, not base64.")] = False,
) -> None:
    """Make a data key: its plaintext to encrypt with, its ciphertext blob to keep."""
    session: Session = context.obj
    if spec is not None and size is not None:
        raise Misuse("--spec and --bytes exclude each other.")
    if without_plaintext and plaintext_out is not None:
        raise Misuse("--plaintext-out and --without-plaintext exclude each other.")
    if raw and out is None and plaintext_out is None:
        raise Misuse("--raw is for files: name one with --out or --plaintext-out.")
    params: dict[str, Any] = {"KeyId": key, **_context(encryption_context)}
    if size is None:
        params["KeySpec"] = str(spec or DataKeySpec.AES_256)
    else:
        params["NumberOfBytes"] = size
    with session.client() as client:
        if without_plaintext:
            answer = client.generate_data_key_without_plaintext(**params)
        else:
            answer = client.generate_data_key(**params)
    if plaintext_out is not None:
        write(answer.pop("Plaintext"), plaintext_out, raw=raw, secret=True)
    if out is not None:
        write(answer.pop("CiphertextBlob"), out, raw=raw, secret=False)
    del answer["ResponseMetadata"]
    if session.output is Output.JSON:
        write_json(answer)
    else:
        write_record(answer)


def random(
    context: typer.Context,
    size: Annotated[int, typer.Argument(metavar="[N]", help="Bytes, 1 to 1024.")] = 32,
    out: Out = None,
    raw: RawOut = False,
) -> None:
    """Give random bytes from the HSM. Works without a store too."""
    session: Session = context.obj
    _refuse_bytes_in_json(session, out, raw=raw)
    if not 1 <= size <= _MAX_RANDOM:
        raise Misuse(f"N is 1 to {_MAX_RANDOM}, not {size}.")
    with ExitStack() as stack:
        if session.exists or session.seed:
            client = stack.enter_context(session.client())
        else:
            from clavero import KMS

            memory = KMS(allow_insecure_memory=session.allow_insecure_memory)
            client = stack.enter_context(memory).client()
        answer = client.generate_random(NumberOfBytes=size)
    _give(session, answer, "Plaintext", out, raw=raw, secret=True)
