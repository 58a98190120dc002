"""What every command works on: the store that the global options name, opened and closed."""

from __future__ import annotations

import getpass
import os
import shlex
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clavero import KMS, Client, Unseal
    from clavero.callers import Attached
    from clavero.clock import Clock

SALT_FILE: Final = "root.salt"
PASSPHRASE_VARIABLE: Final = "CLAVERO_PASSPHRASE"  # noqa: S105 (a name)
UNSEAL_FORMS: Final = (
    "key-file:PATH, passphrase, passphrase-file:PATH, env:NAME or command:'PROGRAM ARGUMENTS'"
)


class Refusal(Exception):
    """The command cannot do what was asked: one sentence for the user, exit code 1."""


class Misuse(Exception):
    """An option or argument that makes no sense: one sentence for the user, exit code 2."""


class Output(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"


def default_data() -> Path:
    """`$XDG_DATA_HOME/clavero`, which is `~/.local/share/clavero` for most (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The specification has relative paths ignored.
    home = base if base.is_absolute() else Path.home() / ".local" / "share"
    return home / "clavero"


@dataclass(frozen=True, slots=True)
class Session:
    """The global options."""

    data: Path
    region: str | None
    account: str | None
    principal: str | None
    unseal: str | None
    seed: Path | None
    allow_insecure_memory: bool
    output: Output

    @property
    def exists(self) -> bool:
        """Whether the folder holds a store."""
        from clavero.store.folder import DATABASE

        return (self.data / DATABASE).exists()

    @contextmanager
    def kms(
        self, *, create: bool = False, volatile: bool = False, clock: Clock | None = None
    ) -> Iterator[KMS]:
        """The open KMS. Only a command that makes something, or a seed, also makes the store.

        With `volatile` it lives in memory, and the folder's store is left alone.
        """
        from clavero import kms

        if not (create or self.seed or self.exists):
            raise Refusal(
                f"There is no store in {self.data}: name another folder with --data, or make a "
                "first key with 'clavero key create' or --seed."
            )
        unseal = None if volatile else self._unseal()
        try:
            opened = kms.KMS(
                None if volatile else self.data,
                unseal=unseal,
                clock=clock,
                account=self.account or kms.DEFAULT_ACCOUNT,
                region=self.region or kms.DEFAULT_REGION,
                seed=self.seed,
                allow_insecure_memory=self.allow_insecure_memory,
            )
        except ValueError as error:
            raise Misuse(str(error)) from error
        with opened:
            yield opened

    @contextmanager
    def client(self, *, create: bool = False, attached: Attached | None = None) -> Iterator[Client]:
        """A client of the principal in the Region, with what is said to be `attached` to it."""
        with self.kms(create=create) as kms:
            try:
                client = kms.client(
                    principal=self.principal, account=self.account, **(attached or {})
                )
            except ValueError as error:
                raise Misuse(str(error)) from error
            yield client

    def _unseal(self) -> Unseal | None:
        """The unseal provider; None for the default, a key file in the store's folder."""
        from clavero.kms import KEY_FILE

        text = self.unseal
        if text is None:
            salted = (self.data / SALT_FILE).exists()
            # A store that was made with a passphrase has a salt and no key file.
            text = "passphrase" if salted and not (self.data / KEY_FILE).exists() else ""
        return unseal_provider(text, self.data / SALT_FILE) if text else None


def unseal_provider(text: str, salt: Path) -> Unseal:
    """The provider that `--unseal TEXT` names. A new passphrase is asked for twice.

    Raises Misuse for a text of no known form, Refusal where a passphrase cannot be had.
    """
    from clavero import Unseal

    kind, _, rest = text.partition(":")
    if text == "passphrase":
        return Unseal.passphrase(_passphrase(new=not salt.exists()), salt)
    if rest:
        match kind:
            case "key-file":
                return Unseal.key_file(Path(rest).expanduser())
            case "passphrase-file":
                return Unseal.passphrase(_from_file(Path(rest).expanduser()), salt)
            case "env":
                return Unseal.environment(rest)
            case "command":
                try:
                    return Unseal.command(shlex.split(rest))
                except ValueError as error:
                    raise Misuse(f"The unseal command cannot be read: {error}.") from None
    # Not the text itself: who mistakes the option may have typed the passphrase there.
    raise Misuse(f"--unseal takes {UNSEAL_FORMS}.")


def _passphrase(*, new: bool) -> str:
    # Taken out of the environment, so that no program started from here inherits it.
    given = os.environ.pop(PASSPHRASE_VARIABLE, None)
    if given is not None:
        return given
    with warnings.catch_warnings():
        # Without a terminal getpass warns, and would read the standard input, with the echo on.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            passphrase = getpass.getpass("Passphrase: ")
            if new and getpass.getpass("Again, for the new store: ") != passphrase:
                raise Refusal("The two passphrases differ: nothing was made.")
        except getpass.GetPassWarning:
            raise Refusal(
                "There is no terminal to ask for the passphrase: set "
                f"{PASSPHRASE_VARIABLE}, or use --unseal passphrase-file:PATH."
            ) from None
    return passphrase


def _from_file(path: Path) -> bytes:
    with path.open("rb") as file:
        info = os.fstat(file.fileno())
        if stat.S_ISREG(info.st_mode) and info.st_mode & 0o077:
            raise Refusal(
                f"{path} can be read or changed by others (mode {info.st_mode & 0o777:o}): run "
                "chmod 600 on it, and change the passphrase if others may have seen it."
            )
        return file.read(65536).removesuffix(b"\n").removesuffix(b"\r")
