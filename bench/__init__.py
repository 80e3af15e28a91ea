"""Decides what runs and where; the only package that knows Ray and Optuna."""
