"""3D encoders of MONAI for volbench."""
