"""Recipes that come with volbench, as TOML files."""
