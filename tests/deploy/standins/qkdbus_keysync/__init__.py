"""A stand-in for the layer keysync: it answers ping."""
