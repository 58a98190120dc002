"""The key directory: keys as the operations see them, cached over the store.

One process owns an embedded store, so the cache needs no expiry: whoever changes a row refreshes
or forgets it here after the commit. A lookup that began before a change does not put its old
answer into the cache (the generation tells). Nothing is read before it is needed, so opening a
store takes the same time whatever it holds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from clavero.keystores.binding import Binding
from clavero.keystores.native import Material, material_id, new_id
from clavero.model import arn, errors, managed, specs
from clavero.store import aliases, keys, materials, versions
from clavero.store.engine import Store
from clavero.store.errors import StoreError
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

if TYPE_CHECKING:
    from clavero.ops.registry import Need

# Names of keys that a scope remembers; beyond it the oldest half is looked up again.
MAX_REFERENCES: Final = 262_144
# Calls that have stored a key and not yet counted it are fewer.
COUNT_MARGIN: Final = 1_000
# When material expires that does not
NEVER: Final = float("inf")
# The state of a key that was erased while a call was under way; KMS has no name for it.
DELETED: Final = "Deleted"
# The state of an AWS managed key that was not used yet.
UNMADE: Final = "Unmade"


class Version(Material):
    """One version of a key: a backing key, the id that KMS shows for it, its public key if any."""

    __slots__ = ("key", "material_id", "proven", "public_key")

    def __init__(self, key: Key, row: VersionRow, handle: int | None = None) -> None:
        self.key = key
        self.hbkid = row.hbkid
        # It follows from the HBKID; what an edited row says of it does not matter.
        self.material_id = material_id(row.hbkid)
        self.public_key = row.public_key
        self.proven = False  # whether the public key is known to be the private key's
        self.handle = handle
        self.gone = False

    @property
    def binding(self) -> Binding:
        """Whose the backing key is and what for."""
        return Binding.of(self.key.row)


class NoMaterial(Version):
    """What stands in the place of the current version while a key has no key material.

    The key's state, PendingImport, keeps operations from it; should one get here, it is refused.
    """

    __slots__ = ()

    def __init__(self, key: Key) -> None:
        self.key = key
        self.hbkid = b""
        self.material_id = ""
        self.public_key = None
        self.proven = False
        self.handle = None
        self.gone = True

    @property
    def binding(self) -> Binding:
        """There is no backing key: KMSInvalidStateException."""
        raise errors.key_state(self.key.arn, "PendingImport")


class Key:
    """A KMS key in memory. `row` is its stored row; the rest follows from it.

    `expires` is when the first of its imported materials does, in epoch seconds. There may be
    100,000 of them: what can be shared or computed is not held, but for what every call looks at,
    which it finds here without the row.
    """

    __slots__ = (
        "_others",
        "account",
        "arn",
        "current",
        "epoch",
        "expires",
        "last_use",
        "policy",
        "row",
        "spec",
        "state",
        "used_in",
    )

    current: Version

    def __init__(self, row: KeyRow) -> None:
        self.arn: Final = arn.key_arn(row.region, row.account, row.key_id)
        # The account that owns the key (with `arn`, what makes it a resource to authorise)
        self.account: Final = sys.intern(row.account)
        self.spec: Final = sys.intern(row.spec)
        # Its last use that is not stored yet, and the list of used keys that it is in: `lastusage`
        self.last_use: Any = None
        self.used_in: list[Key] | None = None
        self._others: dict[bytes, Version] | None = None
        self.expires = NEVER
        # Grows with every change of what decisions read and the row has not: grants, tags, aliases.
        self.epoch = 0
        self.update(row)

    def update(self, row: KeyRow) -> None:
        """Take over a changed row."""
        self.row = row = _sharing(row)
        self.policy = row.policy
        if row.pending_window is not None:
            waits = row.deletion_date is None
            self.state = "PendingReplicaDeletion" if waits else "PendingDeletion"
        elif row.current_version is None:
            self.state = "PendingImport"
        else:
            self.state = "Enabled" if row.enabled else "Disabled"

    def state_at(self, now: float) -> str:
        """The state at a time: from its expiry on, material is missing, deleted yet or not."""
        if now >= self.expires and self.state in {"Enabled", "Disabled"}:
            return "PendingImport"
        return self.state

    @property
    def versions(self) -> list[Version]:
        """The versions that are cached, the current one first."""
        others = (self._others or {}).values()
        return [*others] if isinstance(self.current, NoMaterial) else [self.current, *others]

    def version(self, hbkid: bytes) -> Version | None:
        """The cached version of that HBKID."""
        current = self.current
        if current.hbkid == hbkid:
            return current
        return None if self._others is None else self._others.get(hbkid)

    def admit(self, version: Version) -> None:
        """Cache a version other than the current one."""
        if self._others is None:
            self._others = {}
        self._others[version.hbkid] = version

    def rotate(self, version: Version) -> None:
        """Have `version` encrypt from now on; calls that run go on with the one before."""
        before = self.current
        if not isinstance(before, NoMaterial):
            self.admit(before)  # first, so that whoever looks for it meanwhile finds it
        self.current = version
        if self._others is not None:
            self._others.pop(version.hbkid, None)

    def suspend(self) -> None:
        """Have no version encrypt: some of the key's material is missing."""
        before = self.current
        if not isinstance(before, NoMaterial):
            self.admit(before)
            self.current = NoMaterial(self)

    def drop(self, hbkid: bytes) -> Version | None:
        """Forget the version of that HBKID, whose material is gone; gives it if it was cached."""
        if self.current.hbkid == hbkid:
            gone: Version = self.current
            self.current = NoMaterial(self)
            return gone
        return None if self._others is None else self._others.pop(hbkid, None)


def _sharing(row: KeyRow) -> KeyRow:
    """The row with one copy in the process of each text that many rows have."""
    return replace(
        row,
        region=sys.intern(row.region),
        account=sys.intern(row.account),
        usage=sys.intern(row.usage),
        spec=sys.intern(row.spec),
        origin=sys.intern(row.origin),
        manager=sys.intern(row.manager),
        policy=sys.intern(row.policy),
    )


class UnmadeKey(Key):
    """An AWS managed key before its first use: nothing of it is stored, and its id is not final.

    It is there to be authorised; `ops.managed` then puts the key that is made into its place.
    """

    __slots__ = ("alias",)

    def __init__(self, scope: Scope, alias: str) -> None:
        self.alias: Final = alias
        super().__init__(
            KeyRow(
                region=scope.region,
                account=scope.account,
                key_id=new_id(),
                description=managed.description(alias),
                usage=specs.ENCRYPT_DECRYPT,
                spec=specs.SYMMETRIC_DEFAULT,
                origin="AWS_KMS",
                manager=managed.MANAGER,
                enabled=True,
                created=0.0,
                deletion_date=None,
                pending_window=None,
                multi_region=False,
                policy=managed.policy(alias, scope.region, scope.account),
                current_version=None,
            )
        )
        self.current = NoMaterial(self)
        self.state = UNMADE


class RegionKeys:
    """The cached key versions of one Region by HBKID, and what tells stale lookups."""

    __slots__ = ("by_hbkid", "generation", "name")

    def __init__(self, name: str) -> None:
        self.name: Final = sys.intern(name)
        self.by_hbkid: dict[bytes, Version] = {}
        self.generation = 0


class Scope:
    """One account in one Region: its cached keys by key id, and the other names it has used."""

    __slots__ = ("account", "by_id", "key_count", "keys", "references", "region")

    def __init__(self, keys_: RegionKeys, account: str) -> None:
        self.keys: Final = keys_
        self.region: Final = keys_.name
        self.account: Final = sys.intern(account)
        self.by_id: Final[dict[str, Key]] = {}
        self.references: Final[dict[str, Key]] = {}
        # About how many keys there are; None before somebody asks.
        self.key_count: int | None = None


class Directory:
    """Finds keys by every kind of name, and keeps what it found."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        # Held over a change of a key's row and `changed`: rows get here in the order of commits.
        self.order: Final = threading.Lock()
        self._regions: dict[str, RegionKeys] = {}
        self._scopes: dict[tuple[str, str], Scope] = {}

    def scope(self, region: str, account: str) -> Scope:
        """The scope of an account in a Region; always the same object."""
        with self._lock:
            scope = self._scopes.get((region, account))
            if scope is None:
                of_region = self._regions.setdefault(region, RegionKeys(region))
                scope = self._scopes[region, account] = Scope(of_region, account)
            return scope

    # --- finding ---------------------------------------------------------------------------------

    def resolve(self, scope: Scope, reference: str) -> Key:
        """The key that a key id, key ARN, alias name or alias ARN names, or NotFoundException."""
        key = scope.by_id.get(reference) or scope.references.get(reference)
        return key if key is not None else self._look_up(scope, reference)

    def resolve_key_id(self, scope: Scope, reference: str) -> Key:
        """The key that a key id or key ARN names; an alias is refused, as AWS does."""
        if reference.startswith(arn.ALIAS_PREFIX):
            raise errors.invalid_key_id(reference)
        if reference.startswith("arn:") and ":alias/" in reference:
            raise errors.invalid_arn(reference)
        return self.resolve(scope, reference)

    def find(self, region: str, account: str, key_id: str) -> Key | None:
        """The key of that id, or None. The Region must be one that has keys: its name is kept."""
        return self._load(self.scope(region, account).keys, account, key_id)

    def version(self, region: RegionKeys, hbkid: bytes) -> Version | None:
        """The key version of that HBKID, or None."""
        found = region.by_hbkid.get(hbkid)
        if found is not None:
            return found
        generation = region.generation
        with self._store.read() as tx:
            row = versions.get(tx, region.name, hbkid)
        if row is None:
            return None
        key = self._load(region, row.account, row.key_id)
        if key is None:
            return None
        with self._lock:
            version = key.version(hbkid)
            if version is None:
                version = Version(key, row)
                # A key that is not the cached one hears of no change: no later call may find it.
                if region.generation == generation and self._cached(key.row) is key:
                    key.admit(version)
                    region.by_hbkid[hbkid] = version
            return version

    def _look_up(self, scope: Scope, reference: str) -> Key:
        region = scope.keys
        generation = region.generation
        named = arn.parse_key_reference(reference, region=scope.region, account=scope.account)
        key_id = named.value
        if named.is_alias:
            with self._store.read() as tx:
                alias = aliases.get(tx, named.region, named.account, named.value)
            if alias is None and named.value in managed.SERVICES and named.account == scope.account:
                return UnmadeKey(scope, named.value)
            if alias is None:
                raise _unknown(
                    scope,
                    named.account,
                    errors.alias_not_found(arn.alias_arn(named.region, named.account, named.value)),
                )
            key_id = alias.key_id
        key = self._load(region, named.account, key_id)
        if key is None:
            missing = arn.key_arn(named.region, named.account, key_id)
            raise _unknown(scope, named.account, errors.key_not_found(missing))
        with self._lock:
            if region.generation == generation and named.kind != "key_id":
                if len(scope.references) >= MAX_REFERENCES:
                    for old in list(scope.references)[: MAX_REFERENCES // 2]:
                        del scope.references[old]
                scope.references[reference] = key
        return key

    def _load(self, region: RegionKeys, account: str, key_id: str) -> Key | None:
        # No scope is made for an account of which a caller only says that it has a key.
        scope = self._scopes.get((region.name, account))
        key = None if scope is None else scope.by_id.get(key_id)
        if key is not None:
            return key
        generation = region.generation
        with self._store.read() as tx:
            row = keys.get(tx, region.name, account, key_id)
            current = None
            expires = None
            if row is not None and row.current_version is not None:
                current = versions.get(tx, region.name, row.current_version)
                if row.origin == "EXTERNAL":
                    expires = materials.earliest_expiry(tx, region.name, account, key_id)
        if row is None:
            return None
        if row.current_version is not None and (
            current is None or (current.account, current.key_id) != (account, key_id)
        ):
            raise StoreError(
                f"The key {key_id} has no key material in the store: its rows were changed. "
                "Restore the store from a backup."
            )
        owner = self.scope(region.name, account)
        with self._lock:
            known = owner.by_id.get(key_id)
            if known is not None:
                return known
            key = self._made(row, current, None)
            if expires is not None:
                key.expires = expires
            if region.generation == generation:
                self._keep(owner, key)
            return key

    def _cached(self, row: KeyRow) -> Key | None:
        scope = self._scopes.get((row.region, row.account))
        return None if scope is None else scope.by_id.get(row.key_id)

    @staticmethod
    def _made(row: KeyRow, version: VersionRow | None, handle: int | None) -> Key:
        if version is None:
            key = Key(row)
            key.current = NoMaterial(key)
        else:
            key = Key(replace(row, current_version=version.hbkid))  # one copy of the id
            key.current = Version(key, version, handle)
        return key

    @staticmethod
    def _keep(owner: Scope, key: Key) -> None:
        owner.by_id[key.row.key_id] = key
        if not isinstance(key.current, NoMaterial):
            owner.keys.by_hbkid[key.current.hbkid] = key.current

    # --- after a commit --------------------------------------------------------------------------

    def add(self, row: KeyRow, version: VersionRow | None, handle: int | None) -> Key:
        """Take in a key that was just stored, without a version where its material is imported."""
        owner = self.scope(row.region, row.account)
        key = self._made(row, version, handle)
        with self._lock:
            known = owner.by_id.get(row.key_id)
            if known is not None:  # another call found the row between its commit and now
                return known
            self._keep(owner, key)
            if owner.key_count is not None and row.manager != managed.MANAGER:
                owner.key_count += 1
        return key

    def has_room(self, tx: Connection, region: str, account: str, most: int) -> bool:
        """Whether the account may have one more key in the Region; asked by who stores it.

        Counted where it is close to the quota: SQLite counts row by row.
        """
        owner = self.scope(region, account)
        count = owner.key_count
        if count is None or count + COUNT_MARGIN >= most:
            count = owner.key_count = keys.count_of(tx, region, account)
        return count < most

    def changed(self, key: Key, row: KeyRow) -> None:
        """Take over a row that was just stored. `order` must be held since before the commit."""
        owner = self.scope(row.region, row.account)
        with self._lock:
            owner.keys.generation += 1
            key.update(row)
            # A call that began before another change may hold a Key that is not the cached one.
            cached = owner.by_id.get(row.key_id)
            if cached is not None and cached is not key:
                cached.update(row)

    def take_over(self, row: KeyRow) -> None:
        """As `changed`, for a key that may not be in memory: a related one of the call's."""
        owner = self.scope(row.region, row.account)
        with self._lock:
            owner.keys.generation += 1
            cached = owner.by_id.get(row.key_id)
            if cached is not None:
                cached.update(row)

    def touched(self, *keys_: Key) -> None:
        """Grants, tags or aliases of the keys were just changed: what was decided is void."""
        with self._lock:
            for key in keys_:
                key.epoch += 1
                cached = self._cached(key.row)
                if cached is not None and cached is not key:
                    cached.epoch += 1

    def touched_by_name(self, region: str, account: str, key_id: str) -> None:
        """The same, of a key that may not be in memory."""
        owner = self.scope(region, account)
        with self._lock:
            cached = owner.by_id.get(key_id)
            if cached is not None:
                cached.epoch += 1

    def rotated(self, row: KeyRow, version: VersionRow, handle: int | None) -> bool:
        """Take over a row and its new current version. `order` must be held, as for `changed`.

        False where nobody has the key in memory, and so nobody will use the handle.
        """
        owner = self.scope(row.region, row.account)
        with self._lock:
            owner.keys.generation += 1
            key = owner.by_id.get(row.key_id)
            if key is None:
                return False
            made = key.version(version.hbkid) or Version(key, version)
            if handle is not None:
                made.handle = handle
            owner.keys.by_hbkid[made.hbkid] = made
            key.rotate(made)
            key.update(row)
            return True

    def materials_changed(
        self,
        row: KeyRow,
        current: VersionRow | None,
        expires: float | None,
        gone: Sequence[bytes] = (),
    ) -> list[Version]:
        """Take over the row of a key whose imported materials changed. `order` must be held.

        `current` is the version that encrypts, `gone` are the HBKIDs of deleted material; gives
        the versions whose keys must leave the HSM.
        """
        owner = self.scope(row.region, row.account)
        with self._lock:
            owner.keys.generation += 1
            key = owner.by_id.get(row.key_id)
            if key is None:
                return []
            dropped = []
            for hbkid in gone:
                owner.keys.by_hbkid.pop(hbkid, None)
                version = key.drop(hbkid)
                if version is not None:
                    dropped.append(version)
            if current is None:
                key.suspend()
            else:
                made = key.version(current.hbkid) or Version(key, current)
                owner.keys.by_hbkid[made.hbkid] = made
                key.rotate(made)
            key.expires = NEVER if expires is None else expires
            key.update(row)
            return dropped

    def forget(self, region: str, account: str, key_id: str) -> list[Version]:
        """Drop a key that was just erased; gives the versions whose keys must leave the HSM."""
        owner = self.scope(region, account)
        with self._lock:
            owner.keys.generation += 1
            for scope in self._scopes.values():
                if scope.keys is owner.keys:
                    scope.references.clear()
            if owner.key_count is not None:
                owner.key_count -= 1
            key = owner.by_id.pop(key_id, None)
            if key is None:
                return []
            key.state = DELETED  # for calls that hold the key already
            gone = key.versions
            for version in gone:
                owner.keys.by_hbkid.pop(version.hbkid, None)
            return gone

    def aliases_changed(self, region_name: str) -> None:
        """Forget which names stood for which keys."""
        with self._lock:
            for scope in self._scopes.values():
                if scope.region == region_name:
                    scope.keys.generation += 1
                    scope.references.clear()


def _unknown(scope: Scope, owner: str, missing: errors.KMSError) -> errors.KMSError:
    """In the caller's own account: not found. In another's: what a refusal would say too."""
    return missing if owner == scope.account else ForeignResource(missing)


class ForeignResource(errors.KMSError):
    """A resource of another account that does not exist: the pipeline refuses it as not allowed.

    `action` is what the refusal names, by default the operation's; `first` are the needs that a
    call on a resource that exists would have failed on before this one.
    """

    action: str | None = None
    first: Sequence[Need] = ()

    def __init__(self, missing: errors.KMSError) -> None:
        super().__init__(missing.code, missing.message)
