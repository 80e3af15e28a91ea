"""Which code a trial runs, as digests."""
