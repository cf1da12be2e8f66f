"""The tests; a package, so that no installed distribution that ships one of this name hides it."""
