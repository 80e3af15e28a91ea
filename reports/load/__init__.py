"""A run folder read into tables and counts."""
