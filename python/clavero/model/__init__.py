"""The AWS KMS API: operations, shapes, constraints, error texts and ARNs. Pure, without I/O."""
