"""The dispatcher: which worker forms which key, and what happens if it dies."""
