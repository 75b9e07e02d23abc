"""A stand-in for the layer qbackend: it answers ping."""
