"""`clavero serve`, `env`, `account` and `clock`: the endpoint, and what is asked of it."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clavero.cli.output import write_json, write_record
from clavero.cli.session import Misuse, Output, Refusal, Session

if TYPE_CHECKING:
    from clavero.server.telemetry import Telemetry

account_app: Final = typer.Typer(no_args_is_help=True)
clock_app: Final = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("serve")(serve)
    app.command("env")(env)
    app.add_typer(account_app, name="account", help="Make and list accounts.")
    app.add_typer(clock_app, name="clock", help="Move the time of a server with --test-clock.")


def serve(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 8443,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR:PORT[,vpce=ID][,vpc=ID]",
            help="Listen here instead, and for the clients of a VPC endpoint. Repeatable.",
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A further name or address for the server's certificate. Repeatable."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="A certificate chain of yours, in PEM; read on SIGHUP.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, in PEM.")] = None,
    mtls_ca: Annotated[
        Path | None,
        typer.Option(help="Demand a client certificate of one of these CAs, in PEM."),
    ] = None,
    mtls_subject: Annotated[
        list[str] | None,
        typer.Option(help="And of this common name or DNS name. Repeatable."),
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="No TLS. On loopback addresses only.")
    ] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="Believe the X-Forwarded-For of proxies in this network. Repeatable.",
        ),
    ] = None,
    proxy_protocol: Annotated[
        bool,
        typer.Option("--proxy-protocol", help="Trusted proxies speak PROXY protocol v2."),
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="ADDR:PORT", help="Serve /metrics, /livez and /readyz here."),
    ] = None,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Connections at a time; more wait to be accepted.")
    ] = 16_384,
    idle_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a connection may be idle.")
    ] = 30.0,
    otel: Annotated[
        bool,
        typer.Option(
            "--otel", help="Export a span of each call by OpenTelemetry; its variables say where."
        ),
    ] = False,
    volatile: Annotated[
        bool, typer.Option("--volatile", help="Keep keys in memory only, and none at the end.")
    ] = False,
    test_clock: Annotated[
        bool, typer.Option("--test-clock", help="Let 'clavero clock' move the time of keys.")
    ] = False,
) -> None:
    """Serve the KMS API over HTTPS, until SIGTERM."""
    from clavero.clock import ShiftedClock
    from clavero.kms import DEFAULT_ACCOUNT, DEFAULT_REGION
    from clavero.server import listeners, log, serve
    from clavero.server.endpoint import Limits, Tls
    from clavero.store.folder import prepare_folder

    session: Session = context.obj
    if proxy_protocol and not trusted_proxy:
        raise Misuse("--proxy-protocol needs --trusted-proxy: only such proxies are believed.")
    try:
        places = [
            listeners.parse(text, trusted_proxy or (), proxy_protocol=proxy_protocol)
            for text in listen or [f"127.0.0.1:{port}"]
        ]
        watched = None if metrics is None else listeners.parse(metrics)
        tls = Tls(tls_cert, tls_key, host or (), mtls_ca, mtls_subject or ())
        if mtls_subject and mtls_ca is None:
            raise Misuse("--mtls-subject needs --mtls-ca: who signs such certificates?")
        if insecure_http and (tls_cert or tls_key or mtls_ca or host):
            raise Misuse("--insecure-http and certificates exclude each other.")
        settings = serve.Settings(
            prepare_folder(session.data),
            session.account or DEFAULT_ACCOUNT,
            session.region or DEFAULT_REGION,
            places,
            None if insecure_http else tls,
            None if watched is None else (watched.host, watched.port),
            limits=Limits(max_connections, head=idle_timeout),
        )
        serve.block_signals()  # before the exporter has its thread
        log.to_standard_error()
        if otel:
            settings = replace(settings, telemetry=_telemetry())
        with session.kms(
            create=True, volatile=volatile, clock=ShiftedClock() if test_clock else None
        ) as kms:
            drained = serve.run(kms, settings, lambda found: _greet(session, found))
    except ValueError as error:
        raise Misuse(str(error)) from error
    if not drained:
        raise Refusal("Some answers were not given in time: their connections were cut.")


def _telemetry() -> Telemetry:
    try:
        from clavero.server.telemetry import Telemetry
    except ImportError as error:
        raise Misuse(
            f"--otel needs the packages of the extra 'otel': pip install 'clavero[otel]' ({error})."
        ) from None
    return Telemetry()


def _greet(session: Session, started: Any) -> None:
    """Say what a user needs to know, at once: a program may be waiting for it."""
    record = {
        "endpoint": started.url,
        "ca": None if started.ca_path is None else str(started.ca_path),
        "account": started.account,
        "access_key": started.access_key_id,
        "metrics": started.metrics_url,
    }
    record = {name: value for name, value in record.items() if value is not None}
    if session.output is Output.JSON:
        write_json(record)
    else:
        write_record(record)
        data = shlex.quote(str(session.data))
        typer.echo(f'\nTo use it from a shell: eval "$(clavero env --data {data})"')
    typer.get_text_stream("stdout").flush()


def env(
    context: typer.Context,
    wait: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds to wait for a server that starts.")
    ] = 5.0,
) -> None:
    """Print the variables that point AWS's SDKs and command line at the server of --data."""
    session: Session = context.obj
    variables = _ask(session, "environment", wait=wait, account=session.account)
    if session.output is Output.JSON:
        write_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@account_app.command("create")
def create_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(metavar="ID", help="12 digits.")],
) -> None:
    """Make an account, and an access key of its root user, which is shown this once."""
    session: Session = context.obj
    answer = _ask(session, "account create", wait=0.0, local=True, account=account)
    if answer is None:
        with session.kms(create=True) as kms:
            try:
                key = kms.accounts.create(account)
            except ValueError as error:
                raise Misuse(str(error)) from error
        answer = {
            "Account": key.account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
        }
    _show(session, answer)


@account_app.command("list")
def list_accounts(context: typer.Context) -> None:
    """List the accounts."""
    session: Session = context.obj
    answer = _ask(session, "account list", wait=0.0, local=True)
    if answer is None:
        with session.kms() as kms:
            answer = {"Accounts": kms.accounts.names()}
    if session.output is Output.JSON:
        write_json(answer)
    else:
        for account in answer["Accounts"]:
            typer.echo(account)


@clock_app.command("advance")
def advance_clock(
    context: typer.Context,
    seconds: Annotated[float, typer.Argument(min=0, help="How far.")],
) -> None:
    """Move the clock of a server with --test-clock forward."""
    _show(context.obj, _ask(context.obj, "clock advance", wait=0.0, seconds=seconds))


def _show(session: Session, answer: dict[str, Any]) -> None:
    if session.output is Output.JSON:
        write_json(answer)
    else:
        write_record(answer)


def _ask(session: Session, do: str, *, wait: float, local: bool = False, **members: Any) -> Any:
    """What the server of the folder answers. None if there is none and `local` says to go on."""
    from clavero.server.admin import AdminError, ask

    until = time.monotonic() + wait
    while True:
        try:
            return ask(session.data, do, **members)
        except AdminError as error:
            raise Refusal(f"The server refused: {error}.") from None
        except (FileNotFoundError, NotADirectoryError, ConnectionError):
            if local:
                return None
            if time.monotonic() >= until:
                raise Refusal(
                    f"No server runs on {session.data}: start one with 'clavero serve --data "
                    f"{shlex.quote(str(session.data))}'."
                ) from None
            time.sleep(0.05)
