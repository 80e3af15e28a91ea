"""Cases at one physical spacing: how it is chosen, and how files are resampled to it."""
