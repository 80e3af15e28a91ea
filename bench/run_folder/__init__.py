"""The run folder: its driver, its records, and whether a run may continue."""
