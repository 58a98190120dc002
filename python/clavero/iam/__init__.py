"""Authorisation: pure functions from a request to a decision. No store, no HSM, no clock."""
