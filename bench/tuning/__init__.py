"""Ray Tune: the searcher, the driver and the live view; the only folder that imports ray."""
