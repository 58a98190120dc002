"""`clavero status`, `rotate-domain-keys`, `version`: running the store."""

from __future__ import annotations

import platform
from typing import Any

import typer

from clavero.cli.output import write_json, write_record
from clavero.cli.session import Output, Refusal, Session


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("status")(status)
    app.command("rotate-domain-keys")(rotate_domain_keys)
    app.command("version")(version)


def _show(session: Session, answer: dict[str, Any]) -> None:
    if session.output is Output.JSON:
        write_json(answer)
    else:
        write_record(answer)


def status(context: typer.Context) -> None:
    """Show how keys are protected in memory, and the Regions with the versions of their domains."""
    session: Session = context.obj
    with session.kms() as kms:
        _show(session, {"data": str(session.data), **kms.status()})


def rotate_domain_keys(context: typer.Context) -> None:
    """Rotate the domain keys of every Region, or of --region, and wrap all keys anew.

    Keys, their ids and their ciphertexts stay as they are. A KMS that runs does this once a day.
    """
    session: Session = context.obj
    with session.kms() as kms:
        known = kms.status()["domains"]
        if session.region is not None and session.region not in known:
            raise Refusal(f"Region {session.region} has no keys, and so no domain key.")
        dropped = kms.rotate_domain_keys(session.region)
        domains = kms.status()["domains"]
        regions = sorted(domains) if session.region is None else [session.region]
    _show(session, {"regions": regions, "old_keys_dropped": dropped})


def version(context: typer.Context) -> None:
    """Show the versions of Clavero and Python."""
    from clavero import __version__

    _show(context.obj, {"clavero": __version__, "python": platform.python_version()})
