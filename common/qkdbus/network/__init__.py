"""The network file: its model, how it is read, and what follows from it."""
