"""Emulators: where the qubits of an exchange live. `port.py` is all that a protocol knows of them."""
