"""The audit: a CloudTrail-shaped record of every call, allowed or denied, and where it goes.

- `record`: `AuditRecord`, `render`
- `sinks`: `Sink`, `MemorySink`, `FileSink`, `AuditError`
- `members`: which members of a request and of an answer may stand in a record
"""
