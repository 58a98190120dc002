"""All identities of a KMS in one place: `kms.identities`."""

from __future__ import annotations

from typing import Final

from clavero.identity.accounts import Accounts
from clavero.identity.managed import Policies
from clavero.identity.organizations import Endpoints, Organizations
from clavero.identity.registry import Registry
from clavero.identity.roles import Roles
from clavero.identity.users import Groups, Users


class Identities:
    """Managers of what is stored. Each write is durable, and in force, when it returns.

    They authorise nothing: who calls them is trusted, as the pipeline's operations of IAM are once
    the pipeline has let them run. Methods have the names of IAM's operations without the kind:
    `users.create`, `roles.attach_policy`. Refusals are `KMSError` with IAM's codes and statuses.
    """

    def __init__(self, registry: Registry, accounts: Accounts) -> None:
        self.registry: Final = registry
        self.accounts: Final = accounts
        self.users: Final = Users(registry, accounts)
        self.groups: Final = Groups(registry)
        self.roles: Final = Roles(registry)
        self.policies: Final = Policies(registry)
        self.organizations: Final = Organizations(registry)
        self.endpoints: Final = Endpoints(registry)
