"""The in-process client: boto3's methods, arguments, answers and exceptions, without a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from clavero.batches import BinaryBatch, DataKeyBatch
from clavero.callers import address_of
from clavero.client_errors import ClientExceptions, exceptions
from clavero.iam.reasons import told
from clavero.model.errors import KMSError
from clavero.model.operations import BY_METHOD, OPERATIONS, Operation
from clavero.model.params import client_values, parameter_report
from clavero.ops import whocan
from clavero.ops.batch import DECRYPT_MANY, ENCRYPT_MANY, GENERATE_DATA_KEYS, BatchOperation
from clavero.ops.call import Call, CallOperation, NotAsked, Response

if TYPE_CHECKING:
    from clavero.callers import Caller
    from clavero.iam.decision import Principal
    from clavero.ops.directory import Scope
    from clavero.service import Service

USER_AGENT: Final = "clavero-in-process"


class ClientConfig:
    """`client.meta.config`: what other libraries read and write there."""

    def __init__(self, region_name: str) -> None:
        self.region_name = region_name
        self.user_agent_extra: str | None = None  # the AWS Encryption SDK appends to it
        self.user_agent = USER_AGENT


class ClientMeta:
    """`client.meta`, as far as it means something without a network."""

    def __init__(self, region_name: str) -> None:
        self.region_name: Final = region_name
        self.config: Final = ClientConfig(region_name)
        self.partition: Final = "aws"
        self.method_to_api_mapping: Final = {m: op.name for m, op in BY_METHOD.items()}


class Client:
    """A KMS client of one principal in one Region. Safe to share between threads.

    It has a method for each of the 56 operations, named as boto3 names it: `generate_data_key`,
    `encrypt`, ... They take keyword arguments and give dicts. Errors are
    `client.exceptions.NotFoundException` and so on; parameters that boto3 would not send are a
    ParamValidationError here too.
    """

    if TYPE_CHECKING:  # the 56 methods are made below, from the model

        def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]: ...

    def __init__(self, service: Service, caller: Caller, scope: Scope) -> None:
        self._service = service
        self._caller = caller
        self._scope = scope
        self._source_ip = address_of(caller)
        self.meta: Final = ClientMeta(scope.region)
        # Now, not at the first error: a call must import nothing. Were another thread to fork
        # meanwhile, the child would wait for ever for an import that nobody there finishes.
        exceptions()

    def __repr__(self) -> str:
        return f"<Client of {self._caller.arn} in {self._scope.region}>"

    @property
    def exceptions(self) -> ClientExceptions:
        """The exception classes: `client.exceptions.NotFoundException`, ..., `.ClientError`."""
        return exceptions()

    def can_paginate(self, operation_name: str) -> bool:
        """Whether the operation's answers come in pages."""
        operation = BY_METHOD.get(operation_name)
        return operation is not None and "Marker" in operation.input.members

    def get_paginator(self, operation_name: str) -> Any:
        """The operation page by page: `paginate(PaginationConfig=..., **params)`, as in boto3.

        botocore's own Paginator where botocore is installed, and one that does the same where it
        is not. Raises OperationNotPageableError as `can_paginate` says.
        """
        from clavero.paginators import paginator

        return paginator(self, operation_name)

    @property
    def waiter_names(self) -> list[str]:
        """None: KMS has no waiters."""
        return []

    def get_waiter(self, waiter_name: str) -> Any:
        """Raises ValueError, as boto3: KMS has no waiters."""
        raise ValueError(f"Waiter does not exist: {waiter_name}")

    def close(self) -> None:
        """Nothing to do: the client has no connection. Keys are closed with the KMS."""

    # --- batches: beyond AWS ----------------------------------------------------------------------

    def generate_data_keys(self, **params: Any) -> DataKeyBatch:
        """Many data keys at once: KeyId, NumberOfKeys, KeySpec or NumberOfBytes, EncryptionContext.

        One authorised call with one audit record. NumberOfKeys is at most 2^24. Each blob also
        opens alone with `decrypt`, under the same context.
        """
        answer = self._ask(GENERATE_DATA_KEYS, params)
        return DataKeyBatch(
            answer["Plaintexts"],
            answer["CiphertextBlobs"],
            size=answer["Size"],
            key_id=answer["KeyId"],
            key_material_id=answer["KeyMaterialId"],
        )

    def encrypt_many(self, KeyId: str, Plaintexts: Any, **params: Any) -> BinaryBatch:  # noqa: N803 (AWS's names)
        """Encrypt each of a list of bytes, the rows of a 2-D uint8 array, or an Arrow binary array.

        Takes EncryptionContext, GrantTokens, EncryptionAlgorithm and DryRun as `encrypt` does. The
        first plaintext that cannot be encrypted fails the call, and the error says which.
        """
        answer = self._ask(ENCRYPT_MANY, {"KeyId": KeyId, "Plaintexts": Plaintexts, **params})
        return BinaryBatch(answer["Values"], answer["Offsets"], key_id=answer["KeyId"])

    def decrypt_many(self, CiphertextBlobs: Any, **params: Any) -> BinaryBatch:  # noqa: N803 (AWS's names)
        """Decrypt each blob; they may be of several keys, under one EncryptionContext.

        Takes the same kinds of input as `encrypt_many`. The first blob that does not open fails
        the call, and the error says which. The plaintexts can be wiped.
        """
        answer = self._ask(DECRYPT_MANY, {"CiphertextBlobs": CiphertextBlobs, **params})
        return BinaryBatch(answer["Values"], answer["Offsets"])

    # --- why: beyond AWS --------------------------------------------------------------------------

    def explain(self, Operation: str, **params: Any) -> dict[str, Any]:  # noqa: N803 (AWS's names)
        """Whether the operation is allowed to this client, and by what: nothing is run or recorded.

        `Operation` is AWS's name (`Encrypt`), `params` are the operation's. Gives `Allowed` and
        `Checks`, one for each action that the call needs: the statements (policy, Sid, line) or the
        grant that allow or deny it, or the kind of policy that is missing. What fails before
        anything is authorised, a key that does not exist for instance, is the error that the
        operation gets. ValueError for a name that is no operation's.
        """
        operation = OPERATIONS.get(Operation)
        if operation is None:
            raise ValueError(f"KMS has no operation {Operation!r}")
        call = self._call(operation, params)
        try:
            checks = [told(each) for each in self._service.explain(call)]
        except KMSError as error:
            failure = error
        except NotAsked as refusal:
            raise self.exceptions.parameters(str(refusal)) from None
        else:
            return {
                "Operation": Operation,
                "Principal": self._caller.arn,
                "Allowed": all(check["Allowed"] for check in checks),
                "Checks": checks,
            }
        raise self.exceptions.of(failure, Operation, _metadata(call.request_id)) from failure

    def who_can(
        self,
        Action: str,  # noqa: N803 (AWS's names)
        KeyId: str,  # noqa: N803
        EncryptionContext: Mapping[str, str] | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        """Every principal that may take an action (`kms:Decrypt`) on a key, and how.

        Gives `Action`, `KeyId` (the key's ARN) and `Principals`. Each of those has `Principal`
        (`user/*` stands for whoever nothing names, of account `*` for any other account) and
        `Ways`, of which one is enough: the statements and the grant that it rests on, with what
        they demand of the request in `If`; and `Unless`, the denies that may apply. What this
        client vouches for (source_ip, via_service, condition_keys) and EncryptionContext are taken
        as given. Nothing is authorised or recorded: it is for whoever runs the KMS. ValueError for
        an action that is on no key; NotFoundException where there is no such key.
        """
        operation = whocan.operation_of(Action)
        params: dict[str, Any] = {"KeyId": KeyId}
        if EncryptionContext is not None:
            for member in ("", "Source", "Destination"):
                params[f"{member}EncryptionContext"] = EncryptionContext
        vouched = self._caller.facts

        def make(principal: Principal) -> Call:
            caller = principal.but(facts={**principal.facts, **vouched})
            return Call(operation, params, caller, self._scope, None, self._source_ip)

        try:
            key, found = self._service.who_can(make, whocan.action_of(Action))
        except KMSError as error:
            failure = error
        else:
            return {"Action": whocan.action_of(Action), "KeyId": key, "Principals": found}
        raise self.exceptions.of(failure, operation.name, _metadata("")) from failure

    # --- asking -----------------------------------------------------------------------------------

    def _call(self, operation: CallOperation, params: dict[str, Any]) -> Call:
        return Call(
            operation,
            params,
            self._caller.current(),
            self._scope,
            _decode,
            self._source_ip,
            self.meta.config.user_agent_extra or USER_AGENT,
        )

    def _ask(self, operation: CallOperation, params: dict[str, Any]) -> Response:
        call = None
        try:
            call = self._call(operation, params)
            response = self._service.handle(call)
        except KMSError as error:
            failure = error
        except NotAsked as refusal:
            raise self.exceptions.parameters(str(refusal)) from None
        else:
            response["ResponseMetadata"] = _metadata(call.request_id)
            return response
        request_id = self._service.new_request_id() if call is None else call.request_id
        raise self.exceptions.of(failure, operation.name, _metadata(request_id)) from failure


def _metadata(request_id: str) -> dict[str, Any]:
    return {
        "RequestId": request_id,
        "HTTPStatusCode": 200,
        "HTTPHeaders": {"x-amzn-requestid": request_id},
        "RetryAttempts": 0,
    }


def _decode(operation: CallOperation, params: dict[str, Any]) -> dict[str, Any]:
    """What botocore does before it sends: refuse, or convert."""
    if isinstance(operation, BatchOperation):
        return params
    assert isinstance(operation, Operation)
    report = parameter_report(operation, params)
    if report is not None:
        raise NotAsked(report)
    try:
        return client_values(operation, params)
    except (ValueError, OSError) as error:  # a file-like object for a blob
        raise NotAsked(f"A file-like object could not be read: {error}") from error


def _method(operation: Operation) -> Callable[..., Response]:
    def ask(self: Client, **params: Any) -> Response:
        return self._ask(operation, params)

    ask.__name__ = operation.method
    ask.__qualname__ = f"Client.{operation.method}"
    ask.__doc__ = f"{operation.name}, as boto3's `kms.{operation.method}`."
    return ask


for _operation in BY_METHOD.values():
    setattr(Client, _operation.method, _method(_operation))
