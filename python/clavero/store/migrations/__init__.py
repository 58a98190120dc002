"""Alembic migrations, applied by `clavero.store.migrate` when a store is older than the program."""
