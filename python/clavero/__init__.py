"""Clavero."""
