"""One module for each migration, named by its place in `clavero.store.schema.REVISIONS`."""
