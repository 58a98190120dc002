"""The key directory: keys as the operations see them, cached over the store.

One process owns an embedded store, so the cache needs no expiry: whoever changes a row refreshes
or forgets it here after the commit. A lookup that began before a change does not put its old
answer into the cache (the generation tells). Nothing is read before it is needed, so opening a
store takes the same time whatever it holds.
"""

from __future__ import annotations

import threading
from typing import Final

from clavero.iam.decision import Resource
from clavero.keystores.native import Binding, Material
from clavero.model import arn, errors
from clavero.store import aliases, keys, versions
from clavero.store.engine import Store
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

# Names of keys that a scope remembers; beyond it the oldest half is looked up again.
MAX_REFERENCES: Final = 262_144
# The state of a key that was erased while a call was under way; KMS has no name for it.
DELETED: Final = "Deleted"


class Version(Material):
    """One version of a key: a backing key, and the id that KMS shows for it."""

    __slots__ = ("key", "material_id")

    def __init__(self, key: Key, row: VersionRow, handle: int | None = None) -> None:
        super().__init__(key.binding, row.hbkid, handle)
        self.key = key
        self.material_id = row.material_id
        key.versions[row.hbkid] = self


class Key:
    """A KMS key in memory. `row` is its stored row; the rest follows from it."""

    __slots__ = ("arn", "binding", "current", "resource", "resources", "row", "state", "versions")

    current: Version

    def __init__(self, row: KeyRow) -> None:
        self.arn: Final = arn.key_arn(row.region, row.account, row.key_id)
        self.binding: Final = Binding(
            row.region, row.account, row.key_id, row.spec, row.usage, row.origin
        )
        self.resource: Final = Resource(self.arn, row.account)
        self.resources: Final = (self.arn,)
        self.versions: dict[bytes, Version] = {}  # those that are cached
        self.update(row)

    def update(self, row: KeyRow) -> None:
        """Take over a changed row."""
        self.row = row
        if row.deletion_date is not None:
            self.state = "PendingDeletion"
        else:
            self.state = "Enabled" if row.enabled else "Disabled"


class RegionKeys:
    """The cached keys of one Region, by id and by the HBKIDs of their versions."""

    __slots__ = ("by_hbkid", "by_id", "generation", "name")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.by_id: dict[tuple[str, str], Key] = {}
        self.by_hbkid: dict[bytes, Version] = {}
        self.generation = 0


class Scope:
    """What one account sees in one Region: the names by which it has called keys."""

    __slots__ = ("account", "keys", "references", "region")

    def __init__(self, keys_: RegionKeys, account: str) -> None:
        self.keys: Final = keys_
        self.region: Final = keys_.name
        self.account: Final = account
        self.references: dict[str, Key] = {}


class Directory:
    """Finds keys by every kind of name, and keeps what it found."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
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
        """The key that a key id, key ARN, alias name or alias ARN names. Raises NotFoundException."""
        key = scope.references.get(reference)
        return key if key is not None else self._look_up(scope, reference)

    def resolve_key_id(self, scope: Scope, reference: str) -> Key:
        """The key that a key id or key ARN names; an alias is refused, as AWS does."""
        if reference.startswith(arn.ALIAS_PREFIX):
            raise errors.invalid_key_id(reference)
        if reference.startswith("arn:") and ":alias/" in reference:
            raise errors.invalid_arn(reference)
        return self.resolve(scope, reference)

    def version(self, region: RegionKeys, hbkid: bytes) -> Version | None:
        """The key version of that HBKID, or None."""
        found = region.by_hbkid.get(hbkid)
        if found is not None:
            return found
        with self._store.read() as tx:
            row = versions.get(tx, region.name, hbkid)
        if row is None:
            return None
        key = self._load(region, row.account, row.key_id)
        return None if key is None else region.by_hbkid.get(hbkid) or self._admit(region, key, row)

    def _look_up(self, scope: Scope, reference: str) -> Key:
        region = scope.keys
        generation = region.generation
        named = arn.parse_key_reference(reference, region=scope.region, account=scope.account)
        key_id = named.value
        if named.is_alias:
            with self._store.read() as tx:
                alias = aliases.get(tx, named.region, named.account, named.value)
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
            if region.generation == generation:
                if len(scope.references) >= MAX_REFERENCES:
                    for old in list(scope.references)[: MAX_REFERENCES // 2]:
                        del scope.references[old]
                scope.references[reference] = key
        return key

    def _load(self, region: RegionKeys, account: str, key_id: str) -> Key | None:
        key = region.by_id.get((account, key_id))
        if key is not None:
            return key
        generation = region.generation
        with self._store.read() as tx:
            row = keys.get(tx, region.name, account, key_id)
            current = None if row is None else versions.get(tx, region.name, row.current_version)
        if row is None or current is None:
            return None
        with self._lock:
            known = region.by_id.get((account, key_id))
            if known is not None:
                return known
            key = Key(row)
            key.current = Version(key, current)
            if region.generation == generation:
                region.by_id[account, key_id] = key
                region.by_hbkid[current.hbkid] = key.current
            return key

    def _admit(self, region: RegionKeys, key: Key, row: VersionRow) -> Version:
        with self._lock:
            version = region.by_hbkid.get(row.hbkid)
            if version is None:
                version = region.by_hbkid[row.hbkid] = Version(key, row)
            return version

    # --- after a commit --------------------------------------------------------------------------

    def add(self, row: KeyRow, version: VersionRow, handle: int | None) -> Key:
        """Take in a key that was just stored."""
        region = self.scope(row.region, row.account).keys
        key = Key(row)
        key.current = Version(key, version, handle)
        with self._lock:
            region.by_id[row.account, row.key_id] = key
            region.by_hbkid[version.hbkid] = key.current
        return key

    def changed(self, key: Key, row: KeyRow) -> None:
        """Take over a row that was just stored."""
        region = self.scope(row.region, row.account).keys
        with self._lock:
            region.generation += 1
            key.update(row)

    def forget(self, region_name: str, account: str, key_id: str) -> list[Version]:
        """Drop a key that was just erased; gives the versions whose keys must leave the HSM."""
        region = self.scope(region_name, account).keys
        with self._lock:
            region.generation += 1
            key = region.by_id.pop((account, key_id), None)
            self._forget_references(region)
            if key is None:
                return []
            key.state = DELETED  # for calls that hold the key already
            for hbkid in key.versions:
                region.by_hbkid.pop(hbkid, None)
            return list(key.versions.values())

    def aliases_changed(self, region_name: str) -> None:
        """Forget which names stood for which keys."""
        with self._lock:
            for scope in self._scopes.values():
                if scope.region == region_name:
                    scope.keys.generation += 1
                    scope.references.clear()

    def _forget_references(self, region: RegionKeys) -> None:
        for scope in self._scopes.values():
            if scope.keys is region:
                scope.references.clear()


def _unknown(scope: Scope, owner: str, missing: errors.KMSError) -> errors.KMSError:
    """In the caller's own account: not found. In another's: what a refusal would say too."""
    return missing if owner == scope.account else ForeignResource(missing)


class ForeignResource(errors.KMSError):
    """A resource of another account that does not exist: the pipeline refuses it as not allowed."""

    def __init__(self, missing: errors.KMSError) -> None:
        super().__init__(missing.code, missing.message)
