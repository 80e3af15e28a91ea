"""NIfTI files: opened with care, read by their header, oriented by their affine."""
