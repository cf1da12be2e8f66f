"""Cases as TorchIO subjects, and subjects as scans: the form a case has on its way to the cache."""
