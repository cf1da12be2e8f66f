"""Image formats: which one a file is, whether it is whole, its voxels in one orientation.

A reader of medical images believes what it finds, so every byte is checked here first.
"""
