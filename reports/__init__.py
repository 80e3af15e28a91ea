"""Reads tables, writes pages; knows neither torch nor Ray."""
