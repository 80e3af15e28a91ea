"""The data sets: where their cases are, and how they are split."""
