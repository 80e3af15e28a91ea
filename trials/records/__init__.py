"""What a trial is given and what it leaves, as records that round-trip through JSON. No torch."""
