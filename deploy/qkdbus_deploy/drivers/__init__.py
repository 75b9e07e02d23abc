"""Targets of a deployment: `driver.py` says what each must do, the other files are one target each."""
