"""The qbackend: one exchange on one link, from pairs to a verified block."""
