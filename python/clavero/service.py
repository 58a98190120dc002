"""THE pipeline: validate, resolve, authorise, state, run, audit. Every call takes it, once.

There is no other way to an operation. One place authorises, one place turns unexpected failures
into KMS's errors, one place writes the audit record; an answer leaves only after its record stands.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from clavero.audit.record import AuditRecord
from clavero.audit.sinks import AuditError, Sink
from clavero.clock import Clock
from clavero.iam.decision import FOREIGN, Decision, Effect
from clavero.iam.documents import Kind
from clavero.iam.principals import Principal
from clavero.iam.reasons import Explained
from clavero.model import errors
from clavero.model.errors import KMSError
from clavero.ops import granttokens, recipients, registry, states, whocan
from clavero.ops import managed as managed_keys
from clavero.ops.authorisation import Authoriser
from clavero.ops.call import Call, Further, NotAsked, Response
from clavero.ops.context import OpsContext
from clavero.ops.directory import UNMADE, ForeignResource
from clavero.ops.lastusage import TRACKED, Note
from clavero.ops.registry import Handler, Need
from clavero.ops.throttle import Throttle
from clavero.store.errors import StoreError

_log = logging.getLogger(__name__)
_TRACKED: Final = TRACKED.get


class _Handlers(dict[str, Handler]):
    def __missing__(self, operation: str) -> NoReturn:
        raise errors.operation_not_built(operation)


class Service:
    """Answers calls.

    `run_due(now)` does what is due by the clock and gives the time at which something is due again.
    """

    def __init__(
        self,
        context: OpsContext,
        sink: Sink,
        clock: Clock,
        run_due: Callable[[float], float],
        throttle: Throttle | None = None,
    ) -> None:
        self._context = context
        self._sink = sink
        self._write_record = sink.write
        self._now = clock.now
        self._new_id = context.new_id
        self._run_due = run_due
        self._due = 0.0
        self._due_lock = threading.Lock()
        self._changes = 0
        self._admit = None if throttle is None else throttle.admit
        self._authoriser = authoriser = Authoriser(context)
        self._decide = authoriser.decide
        self._decide_anew = authoriser.decide_anew
        self._request_on = authoriser.request_on
        self._usage = context.usage
        self._handlers = _Handlers(registry.built())
        self._unavailable: str | None = None
        _services.add(self)

    def handle(self, call: Call) -> Response:
        """Answer one call, or raise the KMSError that it gets instead."""
        if self._unavailable is not None:
            raise errors.unavailable(self._unavailable)
        operation = call.operation
        call.request_id = self._new_id()
        call.time = now = self._now()
        try:
            if now >= self._due:
                self._do_due(now)
            if not operation.is_exact(call.params):
                self._validate(call)
            handler = self._handlers[operation.name]
            self._resolve(handler, call)
            if self._admit is not None:  # the class of some depends on the key's spec
                self._admit(call)
            self._authorise(handler, call)
            if handler.states is not None:
                for key in call.keys:
                    if key.state not in handler.states or now >= key.expires:
                        self._mind_states(handler, call)
                        break
            dry_run = call.params.get("DryRun")
            if dry_run and not handler.computes:
                self._end_dry_run(handler, call)
            response = handler.run(self._context, call)
            if dry_run:  # a ciphertext, a size, an algorithm that does not fit was refused by now
                raise errors.dry_run()
        except KMSError as error:
            self._audit(call, error)
            raise
        except StoreError as error:
            refused = self._ended() or errors.internal(str(error))
            self._audit(call, refused)
            raise refused from error
        except NotAsked:
            raise
        except Exception as error:
            refused = self._ended() or self._failed(call)
            self._audit(call, refused)
            raise refused from error
        record = self._audit(call, None)
        tracked = _TRACKED(operation.name)
        if tracked is not None:
            self._note(call, tracked, record)
        return response

    def _validate(self, call: Call) -> None:
        operation = call.operation
        if call.decode is not None:
            call.params = call.decode(operation, call.params)
        call.params = operation.validated(call.params)

    def _note(self, call: Call, tracked: str, record: AuditRecord) -> None:
        note: Note = (tracked, call.time, call.request_id, record.event_id or record)
        usage = self._usage
        for key in call.keys:
            key.last_use = note
            if key.used_in is not usage.used:
                usage.mark(key, note)

    def _resolve(self, handler: Handler, call: Call) -> None:
        resolve = handler.resolve
        if resolve is None:
            return
        try:
            keys = call.keys = resolve(self._context, call)
        except ForeignResource as foreign:
            self._check(call, foreign.first)
            raise self._denied(
                call,
                foreign.action or handler.action,
                "on this resource",
                FOREIGN,
            ) from None
        if keys:
            call.resources = (keys[0].arn,) if len(keys) == 1 else tuple(key.arn for key in keys)

    def _mind_states(self, handler: Handler, call: Call) -> None:
        """Refuse a call on keys in other states; make AWS managed keys that it is first to name."""
        for key in call.keys:
            state = key.state_at(call.time)
            if state not in (handler.states or ()) and state != UNMADE:
                if handler.fits is not None:  # what AWS refuses before the state
                    handler.fits(self._context, call)
                raise states.refusal(call.operation.name, key, state)
        for key in managed_keys.first_use(self._context, call):
            row = key.row
            record = AuditRecord(
                "CreateKey",
                row.region,
                row.account,
                "",
                None,
                (key.arn,),
                self._new_id(),
                call.time,
                extra={"keyManager": row.manager},
            )
            self._put_on_record(record)

    def _end_dry_run(self, handler: Handler, call: Call) -> NoReturn:
        if handler.check is not None:
            handler.check(self._context, call)
        raise errors.dry_run()

    def _authorise(self, handler: Handler, call: Call) -> None:
        principal = call.principal
        if "Recipient" in call.params:  # policies may demand what its document says
            recipients.attest(self._context, call)
        tokens = call.params.get("GrantTokens")
        if tokens:
            granttokens.check(self._context, call, tokens)
        if handler.needs is None:
            for key in call.keys:
                if handler.decide is None:
                    decision = self._decide(call, handler.action, key)
                else:
                    decision = handler.decide(self._context, call, key)
                if not decision.allowed:
                    named = f"on resource: {key.arn}"
                    if key.account != principal.account:
                        named = "on this resource"
                    raise self._denied(call, handler.action, named, decision.because)
            return
        self._check(call, handler.needs(call))

    def _check(self, call: Call, needs: Sequence[Need]) -> None:
        for need in needs:
            decision = self._decide(call, need.action, need.resource)
            if not decision.allowed:
                raise self._denied(
                    call, need.action, need.as_named_to(call.principal), decision.because
                )

    def explain(self, call: Call) -> list[Explained]:
        """What the call is authorised for, each with the decision. Runs nothing, records nothing.

        Raises KMSError for a call that gets no as far as that. For trusted code only: it tells
        callers of other accounts what a refusal does not.
        """
        if self._unavailable is not None:
            raise errors.unavailable(self._unavailable)
        call.time = self._now()
        if not call.operation.is_exact(call.params):
            self._validate(call)
        handler = self._handlers[call.operation.name]
        try:
            if handler.resolve is not None:
                call.keys = handler.resolve(self._context, call)
            if "Recipient" in call.params:
                recipients.attest(self._context, call)
            granttokens.check(self._context, call, call.params.get("GrantTokens", ()))
        except ForeignResource as foreign:
            missing = Decision(Effect.IMPLICIT_DENY, FOREIGN, missing=Kind.KEY)
            return [
                *self._explained(call, foreign.first),
                Explained(foreign.action or handler.action, None, missing),
            ]
        if handler.needs is not None:
            return self._explained(call, handler.needs(call))
        decide = handler.decide
        return [
            Explained(
                handler.action,
                key.arn,
                self._decide_anew(call, handler.action, key)
                if decide is None
                else decide(self._context, call, key),
            )
            for key in call.keys
        ]

    def who_can(
        self, make: Callable[[Principal], Call], action: str
    ) -> tuple[str, list[dict[str, Any]]]:
        """The key's ARN, and every principal that may take the action on it: `ops.whocan`.

        `make(principal)` makes the call of one. For trusted code only, as `explain`.
        """
        first = make(Principal("", ""))
        key = self._context.directory.resolve(first.scope, first.params["KeyId"])
        asked = (
            whocan.Asked(call, self._request_on(call, action, key))
            for call in map(
                make, whocan.candidates(self._context, key, self._context.resolver.everyone())
            )
        )
        return key.arn, whocan.answer(asked, action)

    def _explained(self, call: Call, needs: Sequence[Need]) -> list[Explained]:
        return [
            Explained(
                need.action,
                need.resource.arn,
                self._decide_anew(call, need.action, need.resource),
            )
            for need in needs
        ]

    def _denied(self, call: Call, action: str, named: str, because: str) -> KMSError:
        return errors.access_denied(call.principal.arn, action, named, because)

    def _audit(self, call: Call, error: KMSError | None) -> AuditRecord:
        record = AuditRecord(
            call.operation.name,
            call.scope.region,
            call.scope.account,
            call.principal.arn,
            call.params,
            call.resources,
            call.request_id,
            call.time,
            None if error is None else error.code,
            None if error is None else error.message,
            call.extra,
            None,
            call.source_ip,
            call.user_agent,
            call.transport,
        )
        self._put_on_record(record)
        if error is None:
            for further in call.further:
                self._audit_further(call, further)
        return record

    def _audit_further(self, call: Call, further: Further) -> None:
        own = further.by_service
        record = AuditRecord(
            further.operation,
            further.region,
            call.scope.account,
            "" if own else call.principal.arn,
            further.params,
            further.resources,
            self._new_id() if own else call.request_id,
            call.time,
        )
        if not own:
            record.source_ip = call.source_ip
            record.user_agent = call.user_agent
        self._put_on_record(record)

    def _ended(self) -> KMSError | None:
        """What a call gets that failed because the KMS was closed or sealed while it ran."""
        if self._unavailable is None:
            return None
        return errors.unavailable(self._unavailable)

    def _failed(self, call: Call) -> KMSError:
        """What a call gets that failed as no call should: log why, for whoever looks into it."""
        trace = None if call.transport is None else call.transport.trace
        _log.exception(
            "%s failed (request %s)",
            call.operation.name,
            call.request_id,
            extra={"request_id": call.request_id, "traceparent": trace},
        )
        return errors.internal(
            f"{call.operation.name} failed unexpectedly (request {call.request_id}); the log of "
            "the service tells more."
        )

    def _put_on_record(self, record: AuditRecord) -> None:
        try:
            self._write_record(record)
        except AuditError as failure:
            raise _unrecorded(failure) from failure

    def hold_records(self) -> None:
        """Let the records of this thread's calls wait: none of the calls may be answered yet."""
        self._sink.hold()

    def release_records(self) -> None:
        """Put them on record. Raises the KMSError that every one of the calls gets instead."""
        try:
            self._sink.release()
        except AuditError as failure:
            raise _unrecorded(failure) from failure

    def decisions(self) -> tuple[int, int]:
        """How many decisions on keys were remembered ones, and how many were made."""
        return self._authoriser.hits, self._authoriser.misses

    def new_request_id(self) -> str:
        """An id for an answer to what is no call: an operation that KMS does not have."""
        return self._new_id()

    def schedule_changed(self) -> None:
        """Something new may be due: ask at the next call."""
        with self._due_lock:
            self._changes += 1
            self._due = 0.0

    def _do_due(self, now: float) -> None:
        before = self._changes
        due = self._run_due(now)
        with self._due_lock:
            if self._changes == before:  # else what came meanwhile may be due before that
                self._due = due

    def stop(self, why: str) -> None:
        """Refuse every call from now on, with this sentence."""
        self._unavailable = why


def _unrecorded(failure: AuditError) -> KMSError:
    return errors.internal(f"The call could not be put on record, so it gets no answer: {failure}")


_services: weakref.WeakSet[Service] = weakref.WeakSet()


def _stop_in_child() -> None:
    # No key crosses a fork, and locks may be held by threads that the child does not have.
    for service in _services:
        service.stop(errors.FORKED)


os.register_at_fork(after_in_child=_stop_in_child)
