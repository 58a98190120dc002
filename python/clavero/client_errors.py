"""Exceptions as boto3 has them: subclasses of botocore's ClientError where botocore is installed.

botocore is not a dependency: without it the same names, attributes and messages are ours. Nothing
here is imported before a client needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from clavero.model import params
from clavero.model.errors import KMSError
from clavero.model.generated import EXCEPTIONS


class PlainClientError(Exception):
    """What botocore.exceptions.ClientError is, for programs without botocore.

    `response` has `Error.Code`, `Error.Message`, the modelled members, and `ResponseMetadata`.
    """

    def __init__(self, error_response: dict[str, Any], operation_name: str) -> None:
        error = error_response.get("Error", {})
        super().__init__(
            f"An error occurred ({error.get('Code', 'Unknown')}) when calling the "
            f"{operation_name} operation: {error.get('Message', 'Unknown')}"
        )
        self.response = error_response
        self.operation_name = operation_name


class PlainParamValidationError(Exception):
    """What botocore.exceptions.ParamValidationError is, for programs without botocore."""

    def __init__(self, *, report: str) -> None:
        super().__init__(f"{params.PREFIX}{report}")
        self.kwargs = {"report": report}


class ClientExceptions:
    """`client.exceptions`: ClientError, and a subclass of it for each exception of the model."""

    ClientError: type[Exception]
    ParamValidationError: type[Any]  # takes `report=`

    def __init__(self) -> None:
        try:
            from botocore.exceptions import ClientError, ParamValidationError
        except ImportError:
            self.ClientError = PlainClientError
            self.ParamValidationError = PlainParamValidationError
        else:
            self.ClientError = ClientError
            self.ParamValidationError = ParamValidationError
        self._by_code: dict[str, type[Exception]] = {}
        for name, (code, _status, _members) in EXCEPTIONS.items():
            modelled = type(name, (self.ClientError,), {"__module__": __name__, "__doc__": None})
            self._by_code[code] = modelled
            setattr(self, name, modelled)

    def __getattr__(self, name: str) -> type[Exception]:
        raise AttributeError(
            f"{name!r} is no exception of KMS. Valid exceptions are: "
            f"{', '.join(sorted(EXCEPTIONS))}"
        )

    def from_code(self, code: str) -> type[Exception]:
        """The class for an error code; ClientError itself for one that the model does not list."""
        return self._by_code.get(code, self.ClientError)

    def of(self, error: KMSError, operation: str, metadata: Mapping[str, Any]) -> Exception:
        """The exception that a boto3 client raises for this error."""
        response: dict[str, Any] = {
            "Error": {"Message": error.message, "Code": error.code},
            "ResponseMetadata": {**metadata, "HTTPStatusCode": error.http_status},
            **error.members,
        }
        if error.message and error.code in self._by_code:
            response["message"] = error.message
        return self.from_code(error.code)(response, operation)

    def parameters(self, report: str) -> Exception:
        """The exception that a boto3 client raises before it sends anything."""
        error: Exception = self.ParamValidationError(report=report)
        return error


@functools.cache
def exceptions() -> ClientExceptions:
    """The one set of classes of this process, so that `except` works across clients."""
    return ClientExceptions()
