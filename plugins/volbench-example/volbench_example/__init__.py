"""An example of a plugin: six small components, each of another kind."""
