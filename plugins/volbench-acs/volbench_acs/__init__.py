"""Axial-coronal-sagittal (ACS) convolutions: 2D networks, weights included, that see in 3D."""
