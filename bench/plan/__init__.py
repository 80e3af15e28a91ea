"""Estimates the cost of a grid before it runs."""
