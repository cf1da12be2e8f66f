"""Batches of prepared cases: sampling, loading and transfer to the device."""
