"""The server's log: one line of JSON a message, on the standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """Time, level, where, message and, for an unexpected failure, the traceback.

    Of a call, its request id and the `traceparent` that came with it, where the record has them.

    A traceback has lines of code and no values of variables: no secret comes with it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "traceparent"):
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def to_standard_error() -> None:
    """Have Clavero's loggers write there, and what OpenTelemetry warns of if it is used.

    Loggers of other packages are left alone.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("clavero")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    exporting = logging.getLogger("opentelemetry")
    exporting.setLevel(logging.WARNING)
    exporting.addHandler(handler)
