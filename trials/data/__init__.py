"""From files to batches, in processing order."""
