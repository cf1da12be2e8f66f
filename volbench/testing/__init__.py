"""Public contract suites: what a component must fulfil, one class per kind to subclass."""
