"""Small tools without knowledge of volumes: atomic files, processes, devices, text, seeds."""
