"""The physics of a link in closed form: what is set up, and the rates that theory gives for it. No randomness here."""
