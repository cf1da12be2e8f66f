"""Cost of a network and of a fold: FLOPs, convolutions, seconds by section, roofline."""
