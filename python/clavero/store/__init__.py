"""The store: what a deployment remembers, in SQLite through SQLAlchemy Core.

Nothing here opens without the unsealed domain: key tokens and domain states are opaque bytes.

- `engine.open_store` opens a `Store`; `Store.read` and `Store.write` give a transaction
- `domains`, `keys`, `versions`, `materials`, `aliases`, `tags`, `grants`, `usage`, `regions`,
  `meta` are functions over that transaction
- `errors` can be imported without loading SQLAlchemy

This module imports none of them, so that naming an error costs nothing.
"""
