"""The Python interface: what ``volbench`` exports is imported from its modules, when first used."""
