"""The photonic emulator: detections of a real link, drawn as its physics has them. `emulator.py` is the way in."""
