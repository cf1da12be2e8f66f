"""Plugin system: registries, discovery, signatures, isolation and checks of third-party code."""
