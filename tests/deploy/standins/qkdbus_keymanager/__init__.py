"""A stand-in for the layer keymanager: it answers ping."""
