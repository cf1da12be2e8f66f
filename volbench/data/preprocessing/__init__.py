"""From a volume as read to the volume that is cached: bias field, crop, size, intensities."""
