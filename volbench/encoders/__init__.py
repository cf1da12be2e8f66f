"""Encoders: volume to one feature vector per slice."""
