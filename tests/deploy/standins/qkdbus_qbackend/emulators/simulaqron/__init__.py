"""A stand-in for the layer emulator: it answers ping."""
