"""Synthetic patients with known anatomy, written as a data set."""
