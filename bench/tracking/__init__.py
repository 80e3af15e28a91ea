"""Trials in an experiment tracker: what it is told, and the trackers that are known."""
