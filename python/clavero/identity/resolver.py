"""Who calls, from what is stored: one `Principal` for as long as nothing of it changes.

Decisions are remembered by the object, so that a write that changes anything of a caller makes a
new one, and a write that changes nothing of it leaves what was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Connection

from clavero.iam.compile import Policy, compile_stored
from clavero.iam.documents import Kind
from clavero.iam.matching import Value
from clavero.iam.principals import Principal
from clavero.identity import guardrails, sessions
from clavero.identity.guardrails import Guardrails
from clavero.identity.managed import document_of
from clavero.identity.registry import Registry
from clavero.identity.sessions import Session
from clavero.model import arn, errors, iam_errors
from clavero.store import accounts, identities, organizations
from clavero.store.errors import StoreClosed, StoreForked
from clavero.store.identities import IdentityRow

# A policy's name, and its document.
Named: TypeAlias = tuple[str, str]
# Compiled policies that are kept: callers of `put_policy` choose them.
_KEPT: Final = 4096
# What a root user may; the session policies of a federated session are all that limits it.
_EVERYTHING: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)


@dataclass(frozen=True, slots=True)
class Material:
    """All that a principal is made of, as texts: what is equal makes the same principal."""

    arn: str
    account: str
    unique_id: str | None = None
    role_arn: str | None = None
    user_arn: str | None = None
    identity: tuple[Named, ...] = ()
    boundary: Named | None = None
    sessions: tuple[Named, ...] | None = None
    scps: tuple[tuple[Named, ...], ...] = ()
    endpoint: str | None = None
    facts: tuple[tuple[str, Value], ...] = ()


class Given(NamedTuple):
    """What trusted code says of a principal in process, beside what is stored of it."""

    boundary: Policy | None = None
    sessions: tuple[Policy, ...] | None = None
    facts: Mapping[str, Value] = {}
    session: Session | None = None


_Make: TypeAlias = "Callable[[Connection], Material]"


@dataclass(slots=True)
class Source:
    """A caller over time: `current()` is what it is now. `arn` and `account` never change.

    Safe to share between threads: two that find it out of date both look, and find the same.
    """

    arn: str
    account: str
    _resolver: Resolver
    _make: _Make
    given: Given = field(default_factory=Given)
    _known: tuple[int, Material, Principal] | None = None

    @property
    def facts(self) -> Mapping[str, Value]:
        """What trusted code said of it."""
        return self.given.facts

    def current(self) -> Principal:
        """Who it is now. KMSError where it is no more, and has no other name to go by."""
        known = self._known
        changes = self._resolver.changes  # before anything is read
        if known is not None and known[0] == changes:
            return known[2]
        material = self._resolver.look(self._make)
        if known is not None and known[1] == material:
            principal = known[2]
        else:
            principal = self._resolver.principal(material, self.given)
        self._known = (changes, material, principal)
        return principal


class Resolver:
    """Makes sources of callers for one KMS."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._compiled: dict[tuple[Kind, str, str], Policy] = {}
        self._guardrails: tuple[int, Guardrails] | None = None

    @property
    def changes(self) -> int:
        """Grows with every write that may change a caller."""
        return self._registry.changes

    def now(self) -> float:
        """The time by which sessions expire, in epoch seconds."""
        return self._registry.now()

    @property
    def guardrail_changes(self) -> int:
        """Grows with every write that may change a decision about whomever."""
        return self._registry.guardrail_changes

    # --- sources ---------------------------------------------------------------------------------

    def access_key(self, access_key_id: str, vpce: str | None = None) -> Source:
        """Who signs with a long-term access key."""
        with self._registry.store.read() as tx:
            row = accounts.access_key(tx, access_key_id)
        if row is None:
            raise iam_errors.unknown_token()
        if row.user_id is None:
            return self.root(row.account, vpce)
        user_id, account = row.user_id, row.account

        def make(tx: Connection) -> Material:
            return self._of_user(tx, _there(tx, user_id), vpce)

        return Source(access_key_id, account, self, make)

    def root(self, account: str, vpce: str | None = None) -> Source:
        """The root user of an account."""
        named = arn.root_arn(account)

        def make(tx: Connection) -> Material:
            return self._limited(tx, Material(named, account), vpce)

        return Source(named, account, self, make)

    def session(self, session: Session, vpce: str | None = None) -> Source:
        """The holder of temporary credentials. Whether they have expired is for others to say."""

        def make(tx: Connection) -> Material:
            return self._of_session(tx, session, vpce)

        return Source(session.name, session.account, self, make, Given(session=session))

    def in_process(self, named: str, account: str, given: Given) -> Source:
        """A principal by its ARN: as it is stored, or the bare name where it is not."""

        def make(tx: Connection) -> Material:
            return self._named(tx, named, account)

        return Source(named, account, self, make, given)

    def everyone(self) -> Iterator[Principal]:
        """Every stored user and role."""
        self.guardrails()
        with self._registry.store.read() as tx:
            found = [
                self._of_user(tx, row, None) if row.kind == "user" else self._of_role(tx, row, None)
                for row in identities.principals(tx)
            ]
        for material in found:
            yield self.principal(material, Given())

    # --- guardrails ------------------------------------------------------------------------------

    def guardrails(self) -> Guardrails:
        """What organisations say of accounts: resource control policies, paths."""
        known, changes = self._guardrails, self._registry.guardrail_changes
        if known is None or known[0] != changes:
            with self._registry.store.read() as tx:
                known = (changes, guardrails.load(tx))
            self._guardrails = known
        return known[1]

    def rcps(self, account: str) -> tuple[Policy, ...]:
        """The resource control policies in force for an account's resources."""
        placed = self.guardrails().get(account)
        if placed is None:
            return ()
        return tuple(self._policy(Kind.RESOURCE_CONTROL, each) for each in placed.rcps)

    # --- making ----------------------------------------------------------------------------------

    def look(self, make: _Make) -> Material:
        """Read what a principal is made of."""
        try:
            self.guardrails()  # not in the transaction below: it may have to read for itself
            with self._registry.store.read() as tx:
                return make(tx)
        # As the pipeline refuses a caller that it was told before
        except StoreClosed:
            raise errors.unavailable(errors.CLOSED) from None
        except StoreForked:
            raise errors.unavailable(errors.FORKED) from None

    def principal(self, material: Material, given: Given) -> Principal:
        """Compile it."""
        facts: dict[str, Value] = {**dict(material.facts), **given.facts}
        boundary = given.boundary
        if boundary is None and material.boundary is not None:
            boundary = self._policy(Kind.BOUNDARY, material.boundary)
        limits = given.sessions
        if material.sessions is not None:
            limits = tuple(self._policy(Kind.SESSION, each) for each in material.sessions)
        return Principal(
            material.arn,
            material.account,
            unique_id=material.unique_id,
            role_arn=material.role_arn,
            user_arn=material.user_arn,
            identity=[self._policy(Kind.IDENTITY, each) for each in material.identity],
            boundary=boundary,
            sessions=limits,
            scps=[
                tuple(self._policy(Kind.SERVICE_CONTROL, each) for each in level)
                for level in material.scps
            ],
            endpoint=None
            if material.endpoint is None
            else self._policy(Kind.ENDPOINT, ("", material.endpoint)),
            facts=facts,
            session=given.session,
        )

    def _policy(self, kind: Kind, named: Named) -> Policy:
        place = (kind, *named)
        found = self._compiled.get(place)
        if found is None:
            if len(self._compiled) >= _KEPT:
                self._compiled.clear()
            found = self._compiled[place] = compile_stored(named[1], kind, named[0])
        return found

    def _named(self, tx: Connection, named: str, account: str) -> Material:
        """What is stored under an ARN. The session of a role is named by the role's name."""
        kind, _, rest = named.split(":", 5)[5].partition("/")
        bare = Material(named, account)
        if kind in {"user", "role"}:
            row = identities.get(tx, account, kind, rest.rsplit("/", 1)[-1])
            if row is not None and row.arn == named:
                of_kind = self._of_user if kind == "user" else self._of_role
                return of_kind(tx, row, None)
        elif kind == "assumed-role":
            name = rest.split("/")[0]
            row = identities.get(tx, account, "role", name)
            if row is not None and row.name == name:
                return replace(self._of_role(tx, row, None), arn=named)
        return self._limited(tx, bare, None)

    def _of_user(self, tx: Connection, row: IdentityRow, vpce: str | None) -> Material:
        policies = _policies(tx, row)
        for group in identities.groups_of(tx, row.unique_id):
            policies += _policies(tx, group)
        return self._limited(tx, _material(tx, row, policies), vpce)

    def _of_role(self, tx: Connection, row: IdentityRow, vpce: str | None) -> Material:
        made = replace(_material(tx, row, _policies(tx, row)), role_arn=row.arn)
        return self._limited(tx, made, vpce)

    def _of_session(self, tx: Connection, session: Session, vpce: str | None) -> Material:
        if session.kind == sessions.ROOT:
            made = self._limited(tx, Material(arn.root_arn(session.account), session.account), vpce)
        elif session.kind == sessions.ROLE:
            row = _there(tx, session.unique_id)
            made = replace(
                self._of_role(tx, row, vpce),
                arn=f"arn:aws:sts::{row.account}:assumed-role/{row.name}/{session.name}",
            )
        elif session.kind == sessions.USER:
            made = self._of_user(tx, _there(tx, session.unique_id), vpce)
        else:
            made = self._federated(tx, session, vpce)
        policies = made.sessions
        if session.policies is not None:
            policies = tuple(("", document) for document in session.policies)
        return replace(made, sessions=policies, facts=_merged(made.facts, _facts(session)))

    def _federated(self, tx: Connection, session: Session, vpce: str | None) -> Material:
        """One that GetFederationToken made: no more than its user, and than its policies say."""
        named = f"arn:aws:sts::{session.account}:federated-user/{session.name}"
        if not session.unique_id:  # by the root user
            own = Material(named, session.account, identity=(("", _EVERYTHING),))
            return self._limited(tx, replace(own, sessions=()), vpce)
        row = _there(tx, session.unique_id)
        user = self._of_user(tx, row, vpce)
        tags = tuple(
            (name, value) for name, value in user.facts if not name.startswith("aws:principaltag/")
        )
        return replace(user, arn=named, unique_id=None, user_arn=row.arn, sessions=(), facts=tags)

    def _limited(self, tx: Connection, material: Material, vpce: str | None) -> Material:
        """With what its organisation and the VPC endpoint that it comes through say."""
        endpoint = None
        if vpce is not None:
            endpoint = organizations.endpoint_policies(tx).get(vpce)
        placed = self.guardrails_known().get(material.account)
        if placed is None:
            return replace(material, endpoint=endpoint)
        about = (
            ("aws:principalorgid", placed.organization_id),
            ("aws:principalorgpaths", (placed.path,)),
        )
        return replace(
            material,
            endpoint=endpoint,
            scps=() if placed.manages else placed.scps,
            facts=_merged(material.facts, about),
        )

    def guardrails_known(self) -> Guardrails:
        """`guardrails` as they were last read: inside a transaction nothing else can be read."""
        known = self._guardrails
        return {} if known is None else known[1]


def _there(tx: Connection, unique_id: str) -> IdentityRow:
    """The user or role; it may be gone, and then its credentials are nobody's."""
    row = identities.by_id(tx, unique_id)
    if row is None:
        raise iam_errors.unknown_token()
    return row


def _material(tx: Connection, row: IdentityRow, policies: list[Named]) -> Material:
    boundary = None
    if row.boundary is not None:
        # A boundary that is gone allows nothing.
        boundary = (row.boundary, document_of(tx, row.account, row.boundary) or "")
    tags = identities.tags(tx, row.unique_id)
    return Material(
        row.arn,
        row.account,
        unique_id=row.unique_id,
        identity=tuple(policies),
        boundary=boundary,
        facts=tuple((f"aws:principaltag/{key.lower()}", value) for key, value in tags.items()),
    )


def _policies(tx: Connection, row: IdentityRow) -> list[Named]:
    found = list(identities.inline(tx, row.unique_id).items())
    for policy_arn in identities.attached(tx, row.unique_id):
        document = document_of(tx, row.account, policy_arn)
        if document is not None:
            found.append((policy_arn, document))
    return found


def _facts(session: Session) -> tuple[tuple[str, Value], ...]:
    issued = datetime.fromtimestamp(session.issued, UTC).isoformat(timespec="milliseconds")
    facts: list[tuple[str, Value]] = [
        (f"aws:principaltag/{key.lower()}", value) for key, value in session.tags.items()
    ]
    facts += [
        ("aws:tokenissuetime", issued.replace("+00:00", "Z")),
        ("aws:multifactorauthpresent", "true" if session.mfa else "false"),
    ]
    if session.source_identity:
        facts.append(("aws:sourceidentity", session.source_identity))
    return tuple(facts)


def _merged(
    before: tuple[tuple[str, Value], ...], more: tuple[tuple[str, Value], ...]
) -> tuple[tuple[str, Value], ...]:
    return tuple({**dict(before), **dict(more)}.items())
