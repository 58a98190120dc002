"""`clavero iam ...`: users, groups, roles and policies, by the names and options of `aws iam`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clavero.cli.files import pairs
from clavero.cli.output import write_json, write_record, write_rows
from clavero.cli.session import Misuse, Output, Refusal, Session

if TYPE_CHECKING:
    from clavero.model.iam_api import IamOperation, Parameter

_TIMES: Final = frozenset({"CreateDate", "UpdateDate"})
_FILE: Final = "file://"
# What a table leaves to --output json: it is long, or of no use to who reads.
_LONG: Final = frozenset({"AssumeRolePolicyDocument", "PermissionsBoundary", "Tags"})


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("iam", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        iam
    )


def iam(
    context: typer.Context,
    operation: Annotated[
        str, typer.Argument(metavar="OPERATION [OPTIONS]", help="Such as create-user.")
    ],
) -> None:
    """Manage users, groups, roles and policies, as `aws iam` does.

    Operations and options have the names of the AWS CLI: create-user --user-name NAME,
    put-role-policy --role-name NAME --policy-name NAME --policy-document file://FILE,
    attach-user-policy, create-access-key, list-roles, ... Tags are --tags NAME=VALUE, repeatable.
    The calls are authorised and recorded as the principal's.
    """
    from clavero.client_errors import exceptions
    from clavero.model.errors import KMSError
    from clavero.model.iam_api import IAM_OPERATIONS

    session: Session = context.obj
    named = {_dashed(name): each for name, each in IAM_OPERATIONS.items()}
    found = named.get(operation)
    if found is None:
        raise Misuse(f"There is no 'iam {operation}'. There is: {', '.join(sorted(named))}.")
    params = _params(found, context.args)
    with session.kms(create=found.changes) as kms:
        try:
            answer = kms.iam(
                found.name, params, principal=session.principal, account=session.account
            )
        except ValueError as error:
            raise Misuse(str(error)) from error
        except KMSError as error:
            raise exceptions().of(error, found.name, {}) from error
    _show(session, {name: _plain(name, value) for name, value in answer.items()})


def _dashed(name: str) -> str:
    return "".join(f"-{each.lower()}" if each.isupper() else each for each in name).lstrip("-")


def _params(operation: IamOperation, arguments: Sequence[str]) -> dict[str, Any]:
    options = {f"--{_dashed(name)}": each for name, each in operation.parameters.items()}
    given: dict[str, list[str]] = {}
    waiting = iter(arguments)
    for argument in waiting:
        option, equals, value = argument.partition("=")
        if option not in options:
            takes = ", ".join(options) or "no options"
            raise Misuse(f"iam {_dashed(operation.name)} takes {takes}: not {argument!r}.")
        if not equals:
            following = next(waiting, None)
            if following is None:
                raise Misuse(f"{option} needs a value.")
            value = following
        given.setdefault(option, []).append(value)
    return {
        options[option].name: _value(option, options[option], values)
        for option, values in given.items()
    }


def _value(option: str, parameter: Parameter, values: list[str]) -> Any:
    if parameter.kind == "tags":
        tags = pairs(option, values)
        return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
    if parameter.kind == "list":
        return values
    if len(values) > 1:
        raise Misuse(f"{option} is there twice.")
    (text,) = values
    if parameter.kind == "number":
        if not text.isdecimal():
            raise Misuse(f"{option} takes a number, not {text!r}.")
        return int(text)
    if parameter.kind == "truth":
        if text not in {"true", "false"}:
            raise Misuse(f"{option} takes true or false, not {text!r}.")
        return text == "true"
    return _text(text)


def _text(text: str) -> str:
    """The value itself, or what stands in the file that it names."""
    if not text.startswith(_FILE):
        return text
    path = Path(text.removeprefix(_FILE))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refusal(f"{path} is not in UTF-8.") from None


def _plain(name: str, value: Any) -> Any:
    """As the AWS CLI prints it: times in ISO 8601, and nothing of what is not there."""
    if isinstance(value, Mapping):
        return {key: _plain(key, each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_plain("", each) for each in value]
    if name in _TIMES:
        return datetime.fromtimestamp(float(value), UTC)
    return value


def _show(session: Session, answer: Mapping[str, Any]) -> None:
    if session.output is Output.JSON:
        write_json(answer)
        return
    for value in answer.values():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            columns = [name for name in value[0] if name not in _LONG]
            write_rows(columns, ([each.get(name) for name in columns] for each in value))
        elif isinstance(value, list):
            write_rows(["Name"], ([each] for each in value))
        elif isinstance(value, Mapping):
            write_record(value)
    texts = {
        name: value
        for name, value in answer.items()
        if not isinstance(value, (list, Mapping)) and name != "IsTruncated"
    }
    if texts:
        write_record(texts)
