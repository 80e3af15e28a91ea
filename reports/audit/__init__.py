"""Rules that any published table of scores must pass."""
