"""Which hyperparameters a study tries next, which trials it prunes, and what it shows."""
