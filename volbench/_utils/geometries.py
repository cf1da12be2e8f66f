"""What of a NIfTI header may be believed: a transform, or the spacing alone."""

GEOMETRIES = ("sform", "qform", "pixdim")
