"""Alembic's environment: runs the migrations on the connection that it was handed.

The caller owns the transaction, so that a migration that fails half-way leaves nothing behind.
"""

from __future__ import annotations

from alembic import context

from clavero.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
