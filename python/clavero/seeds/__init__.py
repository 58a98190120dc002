"""Seeds: keys with fixed ids, and material of your own, that a KMS has from its start.

A seed is a document (docs/seeds.md): `document` reads and checks it, `material` decodes what keys
are made of, `apply` brings the store to it. It is applied at every opening, and changes nothing
where its keys are there already.
"""
