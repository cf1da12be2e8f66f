"""Loading: which cases make a batch, and how a batch gets onto the device."""
