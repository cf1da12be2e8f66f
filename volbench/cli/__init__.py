"""Command line: parse the options, call the library, print the result."""
