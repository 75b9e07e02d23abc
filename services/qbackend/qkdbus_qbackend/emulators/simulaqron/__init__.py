"""The emulator program of one QKD node: a SimulaQron virtual node, asked over the bus, linked to its neighbours'.

`library.py` is the only file that imports SimulaQron. Importing this package starts nothing (no reactor, no thread,
no file), so a warm parent may import it and fork.
"""
