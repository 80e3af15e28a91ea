"""Digests of the code that a trial runs."""
