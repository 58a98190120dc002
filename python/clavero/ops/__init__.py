"""The operations, one module per group, and what they share: the call, the key directory, key states, the registry."""
