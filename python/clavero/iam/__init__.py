"""Authorisation: pure functions from a request and the policies to a decision. No store, no HSM, no clock."""
