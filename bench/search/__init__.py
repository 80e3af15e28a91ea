"""Which hyperparameters a study tries next, which trials it stops, and what it learned."""
