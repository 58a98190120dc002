"""KMS, a key service in this process: opens HSM and store, wires the pipeline, gives clients."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, Unpack

from clavero import _native, callers
from clavero.audit.sinks import FileSink, MemorySink, Sink
from clavero.callers import Attached, Caller
from clavero.client import Client
from clavero.clock import Clock, SystemClock
from clavero.identity.accounts import Accounts
from clavero.identity.identities import Identities
from clavero.identity.registry import Registry
from clavero.identity.resolver import Resolver
from clavero.keystores.attested import AttestedKeyStore
from clavero.keystores.native import new_id
from clavero.maintenance import Maintenance, Watch
from clavero.model import arn, errors
from clavero.model.quotas import Quotas
from clavero.model.requestquotas import RequestQuotas
from clavero.ops.context import OpsContext
from clavero.ops.directory import Directory, Scope
from clavero.ops.lastusage import UsageLog
from clavero.ops.renaming import Renaming
from clavero.ops.throttle import Throttle
from clavero.service import Service
from clavero.store import domains, meta, versions
from clavero.store.engine import Store, open_store
from clavero.store.folder import DATABASE, prepare_folder

if TYPE_CHECKING:
    from clavero.seeds.accounts import SeedAccount
    from clavero.seeds.document import SeedKey, Source

DEFAULT_ACCOUNT: Final = "000000000000"
DEFAULT_REGION: Final = "us-east-1"
KEY_FILE: Final = "root.key"
AUDIT_FILE: Final = "audit.jsonl"


class Wiring(NamedTuple):
    """What an endpoint is built on. Not for applications: calls go through clients."""

    service: Service
    hsm: _native.Hsm
    accounts: Accounts
    resolver: Resolver
    region: str
    ensure_domain: Callable[[str], None]
    scope_of: Callable[[str, str], Scope]  # Region and account


class KMS:
    """A key service: `KMS()` lives in memory and is gone with it, `KMS(path)` is durable.

    `path` is a folder of this KMS alone. `unseal` says where its root key comes from; by default a
    key file in the folder, made at the first opening. `account` (12 digits) and `region` are what
    clients get that name none. `clock` is read for everything that has to do with time, and
    `quotas` (clavero.Quotas) are AWS's by default. Request rates have no limit unless
    `request_quotas` (clavero.RequestQuotas) says which: `RequestQuotas()` are AWS's. `seed` (a
    dict, or the path of a JSON or TOML file: docs/seeds.md) has keys with fixed ids, which are made
    unless they are there. `attestation_root` is what the certificates of Nitro attestation
    documents must lead to, in place of AWS's root: a file of one or more certificates in PEM, or
    the bytes of such. Where memory cannot be protected, opening fails unless
    `allow_insecure_memory`.

    Raises StoreError (StoreLocked where another process has the folder) and HsmError
    (WrongRootKey, UnsealError, InsecureMemory, ...) and SeedError, each with a sentence that says
    what to do; a failed opening changes no key.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        unseal: _native.Unseal | None = None,
        account: str = DEFAULT_ACCOUNT,
        region: str = DEFAULT_REGION,
        clock: Clock | None = None,
        quotas: Quotas | None = None,
        request_quotas: RequestQuotas | None = None,
        seed: Source | None = None,
        attestation_root: bytes | str | os.PathLike[str] | None = None,
        allow_insecure_memory: bool = False,
    ) -> None:
        if not arn.is_account(account):
            raise ValueError(f"account must be 12 digits, not {account!r}")
        self._account = account
        self._region = _checked_region(region)
        self._clock = clock or SystemClock()
        self._quotas = quotas or Quotas()
        self._throttle = None if request_quotas is None else Throttle(request_quotas)
        seeded = None if seed is None else _read_seed(seed, account, region)
        self._attestation_roots = _roots(attestation_root)
        self.path: Final = None if path is None else Path(path)
        if self.path is None:
            unseal = unseal or _native.Unseal.ephemeral()
        else:
            unseal = unseal or _native.Unseal.key_file(self.path / KEY_FILE)
        fresh = None
        if self.path is not None and _is_new(self.path):
            # The root key before the store: a provider that cannot give one leaves no empty store
            # behind, which another provider would then seal.
            prepare_folder(self.path)
            fresh = _native.Hsm.open(
                unseal,
                create=True,
                allow_insecure_memory=allow_insecure_memory,
            )
        try:
            store = open_store(self.path)
        except BaseException:
            if fresh is not None:
                fresh.seal()
            raise
        try:
            self._hsm = _open_hsm(store, unseal, allow_insecure_memory, fresh)
            self._sink: Sink = (
                MemorySink(new_id)
                if self.path is None
                else FileSink(self.path / AUDIT_FILE, new_id)
            )
        except BaseException:
            store.close()
            raise
        self._store = store
        self._watch: Watch | None = None
        self._wire()
        try:
            if seeded is not None:
                self._apply(seeded)
            if self.path is not None:
                self._watch = Watch(self._clock, self._maintenance.run_due)
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        store = self._store
        _start_tracking(store, self._clock.now())

        def load_token(region: str, hbkid: bytes) -> bytes | None:
            with store.read() as tx:
                row = versions.get(tx, region, hbkid)
            return None if row is None else row.token

        keystore = AttestedKeyStore(self._hsm, load_token, self._attestation_roots)
        self._directory = Directory(store)
        self._usage = UsageLog(store, self._sink.event_id)
        self._maintenance = Maintenance(
            self._hsm, store, self._directory, keystore, self._sink, self._clock, self._usage
        )
        self._accounts = Accounts(
            store, self._hsm, self._clock, self._region, self._maintenance.ensure_domain
        )
        registry = Registry(store, self._clock, self._hsm.generate_random)
        registry.renaming = Renaming(store, self._directory).transaction
        self._identities = Identities(registry, self._accounts)
        self._resolver = Resolver(registry)
        context = OpsContext(
            store=store,
            directory=self._directory,
            keystore=keystore,
            new_id=new_id,
            ensure_domain=self._maintenance.ensure_domain,
            schedule_changed=lambda: self._service.schedule_changed(),
            quotas=self._quotas,
            usage=self._usage,
            resolver=self._resolver,
            identities=self._identities,
            accounts=self._accounts,
        )
        self._service = Service(
            context, self._sink, self._clock, self._maintenance.run_due, self._throttle
        )
        self._context = context
        self._closed = False

    def _apply(self, seed: tuple[list[SeedKey], list[SeedAccount]]) -> None:
        from clavero.seeds import accounts
        from clavero.seeds.apply import apply

        keys, owners = seed
        accounts.check(self._identities, owners)  # a seed that is refused changes no key either
        apply(self._context, self._sink, keys, self._clock.now())
        accounts.apply(self._identities, owners)

    def client(
        self,
        *,
        region: str | None = None,
        principal: str | None = None,
        account: str | None = None,
        **attached: Unpack[Attached],
    ) -> Client:
        """A client with boto3's methods, for one Region and one principal.

        `principal` is an IAM or STS ARN, by default the root user of `account` (or of this KMS's).
        Of a stored user or role the client has the policies, as they are at each call.
        What else trusted code can say of its calls is in `clavero.callers.Attached`: policies,
        `source_ip`, `via_service`. Clients are cheap and safe to share between threads.
        """
        caller = self._caller(principal, account, attached)
        region = self._region if region is None else _checked_region(region)
        return Client(self._service, caller, self._directory.scope(region, caller.account))

    def boto3_client(
        self,
        *,
        region: str | None = None,
        principal: str | None = None,
        account: str | None = None,
        config: Any = None,
        **options: Any,
    ) -> Any:
        """An unmodified `boto3.client("kms")` whose requests this KMS answers, without a socket.

        Validation, signing, retries, paginators and exceptions are boto3's; `config` (a
        botocore.config.Config) and `options` go to boto3, but for those that `client` takes too.
        Needs boto3; nothing of the AWS
        configuration or credentials on this machine is read. One attempt is made unless `config`
        says otherwise: nothing can be lost on the way. Plaintexts pass through Python strings that
        cannot be wiped, and botocore logs bodies at level DEBUG, as it does with AWS.
        """
        attached: Any = {name: options.pop(name) for name in callers.NAMES if name in options}
        session = self.boto3_session(
            region=region, principal=principal, account=account, **attached
        )
        return session.client("kms", config=config, **options)

    def boto3_session(
        self,
        *,
        region: str | None = None,
        principal: str | None = None,
        account: str | None = None,
        **attached: Unpack[Attached],
    ) -> Any:
        """A boto3.Session whose KMS clients, in any Region, this KMS answers, and no other client.

        For libraries that make their own clients from a session. Each session has its own
        exception classes, as any two sessions of boto3 have.
        """
        from clavero.wire.boto import boto3_session

        return boto3_session(
            self.botocore_session(region=region, principal=principal, account=account, **attached)
        )

    def botocore_session(
        self,
        *,
        region: str | None = None,
        principal: str | None = None,
        account: str | None = None,
        **attached: Unpack[Attached],
    ) -> Any:
        """The same as a botocore.session.Session, which some libraries ask for."""
        from clavero.wire.boto import open_session

        caller = self._caller(principal, account, attached)
        region = self._region if region is None else _checked_region(region)
        return open_session(
            self._service,
            caller,
            region,
            lambda name: self._directory.scope(_checked_region(name), caller.account),
        )

    def _caller(self, principal: str | None, account: str | None, attached: Attached) -> Caller:
        return callers.make(self._resolver, principal, account, self._account, attached)

    @property
    def clock(self) -> Clock:
        """What is read for everything that has to do with time."""
        return self._clock

    @property
    def accounts(self) -> Accounts:
        """The accounts, and the access keys with which their root users sign requests."""
        return self._accounts

    @property
    def identities(self) -> Identities:
        """Users, groups, roles, policies, organisations: see `clavero.identity.identities`."""
        return self._identities

    def iam(
        self,
        operation: str,
        params: Mapping[str, Any],
        *,
        principal: str | None = None,
        account: str | None = None,
    ) -> dict[str, Any]:
        """One operation of IAM through the pipeline: authorised as the principal's, and recorded.

        `operation` is AWS's name (`CreateUser`), `params` are AWS's too, but for tags, which are
        TagKey and TagValue. Times in the answer are epoch seconds, policies as they were put.
        Raises KMSError with IAM's codes, ValueError for another operation or no principal.
        """
        from clavero.model.iam_api import IAM_OPERATIONS
        from clavero.ops.call import Call

        found = IAM_OPERATIONS.get(operation)
        if found is None:
            raise ValueError(f"IAM's {operation!r} is not built")
        caller = self._caller(principal, account, {})
        scope = self._directory.scope(self._region, caller.account)
        given = dict(params)
        call = Call(found, MappingProxyType(given), caller.current(), scope, lambda _, __: given)
        return self._service.handle(call)

    @property
    def wiring(self) -> Wiring:
        """What an endpoint is built on."""
        return Wiring(
            self._service,
            self._hsm,
            self._accounts,
            self._resolver,
            self._region,
            self._maintenance.ensure_domain,
            lambda region, account: self._directory.scope(_checked_region(region), account),
        )

    # --- operating it ----------------------------------------------------------------------------

    def rotate_domain_keys(self, region: str | None = None) -> int:
        """Rotate the domain key of `region` (or of every Region) now, and re-wrap every token.

        Gives the number of old domain keys that were dropped. KMS keys, their ids and their
        ciphertexts stay as they are; this happens by itself once a day.
        """
        regions = self._hsm.status()["domains"] if region is None else [region]
        return sum(self._maintenance.rotate_domain_key(name) for name in regions)

    def evict_idle_keys(self) -> int:
        """Put the keys out of memory that were idle since the last time; gives their number."""
        return self._hsm.evict_idle_keys()

    def status(self) -> dict[str, Any]:
        """The HSM's status: memory level, loaded keys, and the version of each Region's domain.

        And how often caches had what was asked of them: `caches` has `hits` and `misses` of
        `decisions` (on keys, where more than the account decides) and `key_handles`.
        """
        remembered, decided = self._service.decisions()
        uses, loads = self._context.keystore.uses, self._context.keystore.loads
        caches = {
            "decisions": {"hits": remembered, "misses": decided},
            "key_handles": {"hits": max(0, uses - loads), "misses": loads},
        }
        return {**self._hsm.status(), "caches": caches}

    def audit_records(self) -> list[dict[str, Any]]:
        """The last records of a KMS in memory. A durable one has them in `audit.jsonl`."""
        if not isinstance(self._sink, MemorySink):
            raise ValueError(f"the records are in {self.path}/{AUDIT_FILE}")
        return self._sink.records()

    def seal(self) -> None:
        """Wipe every key from memory now. Later calls are refused; opening needs the root key."""
        self._service.stop("The KMS is sealed: its keys were wiped from memory. Open it again.")
        self._hsm.seal()

    def close(self) -> None:
        """Seal, and give up the store. Does nothing the second time, or in a forked child."""
        if self._closed:
            return
        self._closed = True
        self._service.stop(errors.CLOSED)
        try:
            if self._watch is not None:
                self._watch.stop()
            self._hsm.seal()
            self._usage.flush_quietly()
        except _native.ForkedError:
            return  # what is open belongs to the parent process
        finally:
            self._sink.close()
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KMS {'in memory' if self.path is None else self.path}>"


def _read_seed(seed: Source, account: str, region: str) -> tuple[list[SeedKey], list[SeedAccount]]:
    from clavero.seeds import accounts
    from clavero.seeds.document import load

    return load(seed, account, region), accounts.load(seed)


def _open_hsm(
    store: Store,
    unseal: _native.Unseal,
    allow_insecure_memory: bool,
    fresh: _native.Hsm | None,
) -> _native.Hsm:
    """The HSM of the store: `fresh`, which was opened before there was one, or another."""
    with store.read() as tx:
        rows = domains.load_all(tx)
    hsm = fresh or _native.Hsm.open(
        unseal, create=not rows, allow_insecure_memory=allow_insecure_memory
    )
    try:
        for row in rows:
            version = hsm.load_domain(row.region, row.state)
            if version != row.version:
                raise _native.InvalidDomainState(
                    f"the domain state of Region {row.region} is version {version}, but the store "
                    f"says {row.version}: the row was changed; restore it from a backup"
                )
    except _native.WrongRootKey:
        hsm.seal()
        raise _native.WrongRootKey(
            f"{unseal.description} does not open the store {store.path or 'in memory'}: it was "
            "sealed under another root key. Nothing was changed; give the right root key."
        ) from None
    except BaseException:
        hsm.seal()
        raise
    if not rows:
        with store.write() as tx:
            if meta.get(tx, meta.DEPLOYMENT_ID) is None:
                meta.put(tx, meta.DEPLOYMENT_ID, new_id())
    return hsm


def _start_tracking(store: Store, now: float) -> None:
    """Remember from when on the last usage of keys is recorded: the first opening."""
    with store.read() as tx:
        since = meta.get(tx, meta.USAGE_SINCE)
    if since is None:
        with store.write() as tx:
            meta.put(tx, meta.USAGE_SINCE, repr(now))


def _is_new(folder: Path) -> bool:
    try:
        return not (folder / DATABASE).exists()
    except OSError:
        return False  # `open_store` says what is wrong with the folder


def _roots(given: bytes | str | os.PathLike[str] | None) -> _native.AttestationRoots:
    if given is None:
        return _native.AttestationRoots.aws()
    if isinstance(given, bytes):
        certificates, named = given, "The attestation root"
    else:
        certificates, named = Path(given).read_bytes(), f"The attestation root in {given}"
    try:
        return _native.AttestationRoots.parse(certificates)
    except _native.AttestationError as error:
        raise ValueError(
            f"{named} was refused: {error}. Give the root's certificate in PEM or DER."
        ) from None


def _checked_region(region: str) -> str:
    if not arn.is_region(region):
        raise ValueError(
            f"region must be the name of an AWS Region such as us-east-1, not {region!r}"
        )
    return region
