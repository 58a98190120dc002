"""The application: global options, the groups of commands, and what a user sees of an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from clavero.cli import crypto, demo, iam, keys, operate, serving, why
from clavero.cli.output import write_error
from clavero.cli.session import (
    UNSEAL_FORMS,
    Misuse,
    Output,
    Refusal,
    Session,
    default_data,
)

# Global options work before and after the command; these take a value.
_WITH_VALUE: Final = frozenset(
    {"--data", "--region", "--account", "--principal", "--unseal", "--seed", "--output"}
)
_FLAGS: Final = frozenset({"--allow-insecure-memory"})


def globals_first(arguments: list[str]) -> list[str]:
    """The arguments with the global options moved before the command, up to `--`."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            return [*first, *rest, argument, *waiting]
        if argument in _FLAGS or (equals and name in _WITH_VALUE):
            first.append(argument)
        elif argument in _WITH_VALUE:
            first.append(argument)
            first.extend(value for value in [next(waiting, None)] if value is not None)
        else:
            rest.append(argument)
    return [*first, *rest]


class Application(TyperGroup):
    """The one place that turns failures into a line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, globals_first(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # typer ends quietly: the reader has seen enough
        except Exception as error:
            told = _told(error)
            if told is None:
                raise
            text, code = told
            write_error(text)
            raise typer.Exit(code) from None


def _told(error: Exception) -> tuple[str, int] | None:
    """The line and the exit code of a failure that can be expected; None for any other."""
    from clavero import HsmError, SeedError, StoreError
    from clavero.audit.sinks import AuditError
    from clavero.client_errors import exceptions

    kinds = exceptions()
    match error:
        case Misuse() | kinds.ParamValidationError():
            return f"clavero: {error}", 2
        case kinds.InvalidCiphertextException():
            # AWS says no more than the code, so that nobody learns which part was wrong.
            return (
                f"{error} (the ciphertext was changed, or it was made with another store, Region, "
                "key or context)",
                1,
            )
        case kinds.ClientError():
            return str(error), 1
        case Refusal() | SeedError() | StoreError() | HsmError() | AuditError():
            return f"clavero: {error}", 1
        case OSError():
            where = "" if error.filename is None else f"{error.filename}: "
            return f"clavero: {where}{error.strerror or error}", 1
        case _:
            return None


app = typer.Typer(
    cls=Application,
    no_args_is_help=True,
    # typer's own tracebacks would print local variables, and those may be plaintexts.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="CLAVERO_DATA",
            help="The folder of the store.",
            show_default="$XDG_DATA_HOME/clavero, or ~/.local/share/clavero",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar="CLAVERO_REGION", help="The Region.", show_default="us-east-1"),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(envvar="CLAVERO_ACCOUNT", help="12 digits.", show_default="000000000000"),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option(
            envvar="CLAVERO_PRINCIPAL",
            help="The ARN of the IAM or STS principal that asks.",
            show_default="the account's root user",
        ),
    ] = None,
    unseal: Annotated[
        str | None,
        typer.Option(
            envvar="CLAVERO_UNSEAL",
            metavar="SOURCE",
            help=f"Where the root key comes from: {UNSEAL_FORMS}. A passphrase is asked for on the "
            "terminal, or taken from CLAVERO_PASSPHRASE.",
            show_default="key-file:root.key in the store's folder",
        ),
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option(
            envvar="CLAVERO_SEED",
            metavar="FILE",
            help="Keys with fixed ids that the store is to have (JSON, or TOML by its name): made "
            "where they are missing, and the store with them.",
        ),
    ] = None,
    allow_insecure_memory: Annotated[
        bool,
        typer.Option(
            "--allow-insecure-memory",
            help="Go on where the system cannot protect keys in memory.",
        ),
    ] = False,
    output: Annotated[
        Output, typer.Option(envvar="CLAVERO_OUTPUT", help="How to print answers.")
    ] = Output.TABLE,
) -> None:
    """A key service with the AWS KMS API, on a software HSM. One process at a time uses a store."""
    context.obj = Session(
        data=default_data() if data is None else data.expanduser(),
        region=region,
        account=account,
        principal=principal,
        unseal=unseal,
        seed=None if seed is None else seed.expanduser(),
        allow_insecure_memory=allow_insecure_memory,
        output=output,
    )


app.add_typer(keys.key_app, name="key", help="Make and manage keys.")
app.add_typer(keys.alias_app, name="alias", help="Name keys.")
crypto.register(app)
why.register(app)
iam.register(app)
operate.register(app)
serving.register(app)
demo.register(app)
