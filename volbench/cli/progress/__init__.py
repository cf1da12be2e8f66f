"""Progress of long commands: bars on a terminal, plain lines elsewhere."""
