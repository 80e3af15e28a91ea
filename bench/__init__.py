"""Decides what runs and where. The only package that imports Ray and Optuna."""
