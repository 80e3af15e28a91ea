"""Files of volumes (NIfTI, NRRD, MetaImage): validated on opening, oriented by their affine."""
