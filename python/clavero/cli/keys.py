"""`clavero key ...` and `clavero alias ...`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from clavero.cli.files import pairs
from clavero.cli.output import write_json, write_record, write_rows
from clavero.cli.session import Misuse, Output, Refusal, Session

key_app: Final = typer.Typer(no_args_is_help=True)
alias_app: Final = typer.Typer(no_args_is_help=True)

AnyName = Annotated[
    str, typer.Argument(metavar="KEY", help="A key id, key ARN, alias name or alias ARN.")
]
KeyName = Annotated[str, typer.Argument(metavar="KEY", help="A key id or key ARN.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="An alias name: alias/...")]


def pages(ask: Any, member: str, **params: Any) -> Iterator[dict[str, Any]]:
    """The items of every page of a List operation."""
    answer = ask(**params)
    yield from answer[member]
    while answer["Truncated"]:
        answer = ask(**params, Marker=answer["NextMarker"])
        yield from answer[member]


def _show(session: Session, answer: dict[str, Any], member: str | None = None) -> None:
    if session.output is Output.JSON:
        write_json(answer)
    else:
        write_record(answer if member is None else answer[member])


def _done(session: Session) -> None:
    """The operation answers nothing; a program that reads JSON gets JSON."""
    if session.output is Output.JSON:
        write_json({})


@key_app.command("create")
def create_key(
    context: typer.Context,
    description: Annotated[str, typer.Option(help="What the key is for.")] = "",
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="A name for it: alias/...")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A tag. Repeatable.")
    ] = None,
) -> None:
    """Make a symmetric encryption key, and the store if there is none."""
    session: Session = context.obj
    tags = pairs("--tag", tag or ())
    if alias is not None and not alias.startswith("alias/"):
        raise Misuse(f"An alias begins with alias/: --alias alias/{alias}")
    params: dict[str, Any] = {"Description": description} if description else {}
    if tags:
        params["Tags"] = [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
    with session.client(create=True) as client:
        answer = client.create_key(**params)
        key_id = answer["KeyMetadata"]["KeyId"]
        if alias is not None:
            try:
                client.create_alias(AliasName=alias, TargetKeyId=key_id)
            except client.exceptions.ClientError as error:
                raise Refusal(f"The key {key_id} was made, but has no alias: {error}") from error
            answer["AliasName"] = alias
    _show(session, answer, "KeyMetadata")


@key_app.command("list")
def list_keys(
    context: typer.Context,
    details: Annotated[
        bool, typer.Option("--details", help="Describe each: state, aliases, description.")
    ] = False,
) -> None:
    """List the keys of the account in the Region."""
    session: Session = context.obj
    with session.client() as client:
        keys = list(pages(client.list_keys, "Keys", Limit=1000))
        if details:
            aliases: dict[str, list[str]] = {}
            for alias in pages(client.list_aliases, "Aliases"):
                aliases.setdefault(alias.get("TargetKeyId", ""), []).append(alias["AliasName"])
            for key in keys:
                key.update(client.describe_key(KeyId=key["KeyId"])["KeyMetadata"])
                key["Aliases"] = aliases.get(key["KeyId"], [])
    columns = ["KeyId", *(["KeyState", "Aliases", "Description"] if details else ["KeyArn"])]
    if session.output is Output.JSON:
        write_json({"Keys": keys})
    else:
        write_rows(columns, ([key[column] for column in columns] for key in keys))


@key_app.command("describe")
def describe_key(context: typer.Context, key: AnyName) -> None:
    """Show a key's metadata."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.describe_key(KeyId=key)
    _show(session, answer, "KeyMetadata")


@key_app.command("enable")
def enable_key(context: typer.Context, key: KeyName) -> None:
    """Let a disabled key be used again."""
    session: Session = context.obj
    with session.client() as client:
        client.enable_key(KeyId=key)
    _done(session)


@key_app.command("disable")
def disable_key(context: typer.Context, key: KeyName) -> None:
    """Let nobody use a key until it is enabled."""
    session: Session = context.obj
    with session.client() as client:
        client.disable_key(KeyId=key)
    _done(session)


@key_app.command("update-description")
def update_description(
    context: typer.Context,
    key: KeyName,
    description: Annotated[str, typer.Argument(help="The new description.")],
) -> None:
    """Change what is said of a key."""
    session: Session = context.obj
    with session.client() as client:
        client.update_key_description(KeyId=key, Description=description)
    _done(session)


@key_app.command("schedule-deletion")
def schedule_deletion(
    context: typer.Context,
    key: KeyName,
    days: Annotated[int, typer.Option(help="Days until it is erased, 7 to 30.")] = 30,
) -> None:
    """Take a key out of use, and erase it when the days are over: its ciphertexts are lost then."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.schedule_key_deletion(KeyId=key, PendingWindowInDays=days)
    _show(session, answer)


@key_app.command("cancel-deletion")
def cancel_deletion(context: typer.Context, key: KeyName) -> None:
    """Keep a key after all. It is disabled until it is enabled."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.cancel_key_deletion(KeyId=key)
    _show(session, answer)


@alias_app.command("create")
def create_alias(context: typer.Context, alias: AliasName, key: KeyName) -> None:
    """Give a key a name."""
    session: Session = context.obj
    with session.client() as client:
        client.create_alias(AliasName=alias, TargetKeyId=key)
    _done(session)


@alias_app.command("update")
def update_alias(context: typer.Context, alias: AliasName, key: KeyName) -> None:
    """Give a name to another key."""
    session: Session = context.obj
    with session.client() as client:
        client.update_alias(AliasName=alias, TargetKeyId=key)
    _done(session)


@alias_app.command("delete")
def delete_alias(context: typer.Context, alias: AliasName) -> None:
    """Delete a name; the key stays."""
    session: Session = context.obj
    with session.client() as client:
        client.delete_alias(AliasName=alias)
    _done(session)


@alias_app.command("list")
def list_aliases(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of this key (id or ARN) only.")
    ] = None,
) -> None:
    """List the aliases of the account in the Region."""
    session: Session = context.obj
    with session.client() as client:
        params = {} if key is None else {"KeyId": key}
        aliases = list(pages(client.list_aliases, "Aliases", **params))
    if session.output is Output.JSON:
        write_json({"Aliases": aliases})
    else:
        columns = ["AliasName", "TargetKeyId", "AliasArn"]
        write_rows(columns, ([a.get(column) for column in columns] for a in aliases))
