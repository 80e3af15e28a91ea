"""A run's folder: who drives it, what it records, and whether it may be continued."""
