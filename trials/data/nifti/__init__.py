"""NIfTI files: validated on opening, read by their header, oriented by their affine."""
