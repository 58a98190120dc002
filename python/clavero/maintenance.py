"""What happens by the clock: deletions, expired material, rotations of all keys, idle keys."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from clavero import _native
from clavero.audit.record import AuditRecord
from clavero.audit.sinks import AuditError, Sink
from clavero.clock import Clock
from clavero.keystores.binding import Binding
from clavero.keystores.native import NativeKeyStore, new_id, token_domain_key
from clavero.model import arn
from clavero.model.errors import KMSError
from clavero.ops import materials, related, rotation
from clavero.ops.directory import Directory
from clavero.ops.lastusage import UsageLog
from clavero.store import domains, keys, versions
from clavero.store import materials as stored_materials
from clavero.store.domains import DomainRow
from clavero.store.engine import Store
from clavero.store.errors import StoreClosed, StoreError

_log = logging.getLogger(__name__)

# Seconds by the KMS's clock. AWS rotates its domain keys daily (AWS KMS Cryptographic Details,
# "Domains and domain state").
DOMAIN_KEY_LIFETIME: Final = 86_400.0
# A key that no operation used for one to two of these leaves the HSM's memory.
IDLE_SWEEP: Final = 600.0
REWRAP_BATCH: Final = 200
ROTATION_BATCH: Final = 100
# The longest that the watch thread goes without looking, in seconds
LOOK_AGAIN: Final = 60.0


class Maintenance:
    """The jobs of one KMS. `run_due` is called with every call's time and by the watch thread."""

    def __init__(
        self,
        hsm: _native.Hsm,
        store: Store,
        directory: Directory,
        keystore: NativeKeyStore,
        sink: Sink,
        clock: Clock,
        usage: UsageLog,
    ) -> None:
        self._hsm = hsm
        self._store = store
        self._directory = directory
        self._keystore = keystore
        self._sink = sink
        self._clock = clock
        self._usage = usage
        self._due_lock = threading.Lock()
        self._rotation_lock = threading.Lock()
        self._next_sweep = clock.now() + IDLE_SWEEP
        self._rotating: threading.Thread | None = None

    # --- by the clock ----------------------------------------------------------------------------

    def run_due(self, now: float) -> float:
        """Do what is due at `now`; gives the time at which something is due again."""
        with self._due_lock:
            next_deletion = self._delete_due(now)
            next_expiry = self._expire_due(now)
            next_rotation = self._rotate_keys_due(now)
            # A sweep that is further away was set before the clock was set back.
            if not self._next_sweep - IDLE_SWEEP <= now < self._next_sweep:
                self._next_sweep = now + IDLE_SWEEP
                self._hsm.evict_idle_keys()
                self._usage.flush_quietly()
            next_domain_rotation = self._rotate_due(now)
            return min(
                next_deletion, next_expiry, next_rotation, self._next_sweep, next_domain_rotation
            )

    def _delete_due(self, now: float) -> float:
        erased = False
        while True:
            with self._store.read() as tx:
                due = keys.due(tx, now)
                next_due = keys.next_due(tx)
            if not due:
                break
            for row in due:
                named = (row.region, row.account, row.key_id)
                with self._directory.order:
                    with self._store.write() as tx:
                        current = keys.get(tx, *named)
                        # It may have been cancelled since.
                        if current is None or current.deletion_date is None:
                            continue
                        if current.deletion_date > now:
                            continue
                        keys.erase(tx, *named)
                        primary = related.replica_gone(tx, current, now)
                    for version in self._directory.forget(*named):
                        self._keystore.unload(version)
                    if primary is not None:
                        self._directory.take_over(primary)
                self._record("DeleteKey", row.region, row.account, now, arn.key_arn(*named))
                erased = True
        if erased:
            self._store.checkpoint()  # so that no token stays in the write-ahead log
        return float("inf") if next_due is None else next_due

    def _expire_due(self, now: float) -> float:
        """Erase imported material at its ValidTo: before any call of that time goes on."""
        erased = False
        while True:
            with self._store.read() as tx:
                due = stored_materials.due(tx, now)
                next_due = stored_materials.next_due(tx)
            if not due:
                break
            for version in due:
                if materials.expire(self._store, self._directory, self._keystore, version, now):
                    where = arn.key_arn(version.region, version.account, version.key_id)
                    extra = {"keyMaterialId": version.material_id}
                    self._record(
                        "DeleteExpiredKeyMaterial",
                        version.region,
                        version.account,
                        now,
                        where,
                        extra=extra,
                    )
                    erased = True
        if erased:
            self._store.checkpoint()  # as for deleted keys
        return float("inf") if next_due is None else next_due

    def _rotate_keys_due(self, now: float) -> float:
        failed: set[tuple[str, str, str]] = set()
        while True:
            with self._store.read() as tx:
                due = keys.rotation_due(tx, now, limit=ROTATION_BATCH + len(failed))
                next_due = keys.next_rotation(tx)
            due = [row for row in due if (row.region, row.account, row.key_id) not in failed]
            if not due:
                break
            for row in due:
                named = (row.region, row.account, row.key_id)
                try:
                    rotated = rotation.rotate(
                        self._store,
                        self._directory,
                        self._keystore,
                        named,
                        rotation.AUTOMATIC,
                        now,
                        lambda _, current: rotation.is_due(current, now),
                    )
                except KMSError:
                    # The key goes on with the material that it has, and is due again.
                    _log.exception("rotating the key %s failed", row.key_id)
                    failed.add(named)
                    continue
                if rotated is not None:
                    extra = {"rotationType": rotation.AUTOMATIC}
                    where = arn.key_arn(*named)
                    self._record("RotateKey", row.region, row.account, now, where, extra=extra)
                if rotated:  # its replicas with it
                    self._record(related.SYNCHRONIZE, row.region, row.account, now, where)
        if failed:
            return now + IDLE_SWEEP
        return float("inf") if next_due is None else next_due

    def _rotate_due(self, now: float) -> float:
        """Start rotating in the background where an active domain key is old; callers go on."""
        next_due = float("inf")
        overdue = []
        for region in self._hsm.status()["domains"]:
            created = max(created for _, active, created in self._hsm.domain_keys(region) if active)
            if abs(now - created) >= DOMAIN_KEY_LIFETIME:  # or the clock was set back by as much
                overdue.append(region)
            else:
                next_due = min(next_due, created + DOMAIN_KEY_LIFETIME)
        if overdue and (self._rotating is None or not self._rotating.is_alive()):
            self._rotating = threading.Thread(
                target=self._rotate_all, args=(overdue,), name="clavero-rotation", daemon=True
            )
            self._rotating.start()
        return now + IDLE_SWEEP if overdue else next_due

    def _rotate_all(self, regions: list[str]) -> None:
        for region in regions:
            try:
                self.rotate_domain_key(region)
            except (StoreClosed, AuditError, _native.SealedError):
                return  # the KMS was closed meanwhile; the next one goes on
            except (KMSError, StoreError, _native.HsmError):
                # The old key stays in force and in the state: nothing is lost, and it is due again.
                _log.exception("rotating the domain key of %s failed", region)

    # --- domain keys -----------------------------------------------------------------------------

    def ensure_domain(self, region: str) -> None:
        """Make the Region's domain if it has none, durably before it is used."""
        if region in self._hsm.status()["domains"]:
            return
        with self._rotation_lock:
            if region not in self._hsm.status()["domains"]:
                self._store_state(region, 1, self._hsm.create_domain(region, self._seconds()))

    def rotate_domain_key(self, region: str) -> int:
        """Rotate the Region's domain key, re-wrap the tokens, retire the old keys; says how many.

        Safe to break off at any point: the next rotation goes on with the tokens that are left.
        """
        with self._rotation_lock:
            # What a rotation that was broken off has left comes first, or it could pile up.
            dropped = self._finish_rotation(region)
            state = self._hsm.stage_domain_rotation(region, self._seconds())
            self._store_state(region, self._version(region) + 1, state)
            self._record("RotateDomainKey", region, "", self._clock.now())
            return dropped + self._finish_rotation(region)

    def _finish_rotation(self, region: str) -> int:
        old = [key_id for key_id, active, _ in self._hsm.domain_keys(region) if not active]
        for domain_key_id in old:
            self._rewrap(region, domain_key_id)
        return self._retire(region, old) if old else 0

    def _rewrap(self, region: str, domain_key_id: bytes) -> None:
        after = b""
        while True:
            with self._store.read() as tx:
                rows = versions.sealed_under(
                    tx, region, domain_key_id, limit=REWRAP_BATCH, after=after
                )
            if not rows:
                return
            replaced = []
            for row in rows:
                after = row.hbkid
                with self._store.read() as tx:
                    key = keys.get(tx, row.region, row.account, row.key_id)
                if key is None or row.token is None:
                    continue  # erased meanwhile
                try:
                    token = self._keystore.rewrap(Binding.of(key), row.hbkid, row.token)
                    replaced.append((row.hbkid, row.token, token))
                except KMSError:
                    # A damaged row: it keeps its token, and the domain key that it names stays.
                    _log.exception("re-wrapping a token of %s failed", row.key_id)
            with self._store.write() as tx:
                for hbkid, before, token in replaced:
                    versions.replace_token(
                        tx,
                        region,
                        hbkid,
                        expected=before,
                        token=token,
                        domain_key_id=token_domain_key(token),
                    )

    def _retire(self, region: str, old: list[bytes]) -> int:
        """Drop the old domain keys that no stored token needs.

        Checked in the transaction that stores the new state: new tokens are made inside write
        transactions only, so none can be on its way meanwhile.
        """
        with self._store.write() as tx:
            unused = [id_ for id_ in old if versions.count_under(tx, region, id_) == 0]
            if not unused:
                return 0
            state = self._hsm.stage_domain_retirement(region, unused)
            try:
                version = self._version(region) + 1
                domains.put(tx, DomainRow(region, version, state, self._clock.now()))
            except BaseException:
                self._hsm.discard_staged_domain(region)
                raise
        self._hsm.install_domain(region)
        return len(unused)

    def _store_state(self, region: str, version: int, state: bytes) -> None:
        try:
            with self._store.write() as tx:
                domains.put(tx, DomainRow(region, version, state, self._clock.now()))
        except BaseException:
            self._hsm.discard_staged_domain(region)
            raise
        self._hsm.install_domain(region)

    def _version(self, region: str) -> int:
        version: int = self._hsm.status()["domains"][region]
        return version

    def _seconds(self) -> int:
        return int(self._clock.now())

    def _record(
        self,
        operation: str,
        region: str,
        account: str,
        now: float,
        *resources: str,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        self._sink.write(
            AuditRecord(operation, region, account, "", None, resources, new_id(), now, extra=extra)
        )


class Watch:
    """A thread that runs what is due while no call comes. It ends with the KMS, or the process."""

    def __init__(
        self, clock: Clock, run_due: Callable[[float], float], interval: float = 1.0
    ) -> None:
        self._stop = threading.Event()
        self._clock = clock
        self._run_due = run_due
        self._interval = interval
        self._thread = threading.Thread(target=self._watch, name="clavero-watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        due = 0.0
        while not self._stop.wait(self._interval):
            now = self._clock.now()
            try:
                if not due - LOOK_AGAIN <= now < due:  # it is due, or the clock was set back
                    due = min(self._run_due(now), now + LOOK_AGAIN)
            except (KMSError, StoreError, _native.HsmError):
                _log.exception("a job that was due failed; it is tried again")

    def stop(self) -> None:
        """End the thread, waiting for a job that runs."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
