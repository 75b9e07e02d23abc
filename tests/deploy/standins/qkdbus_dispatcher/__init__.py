"""A stand-in for the layer dispatcher: it answers ping."""
