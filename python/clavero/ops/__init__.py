"""The operations, one module per group, and what they share: call, directory, states, registry."""
