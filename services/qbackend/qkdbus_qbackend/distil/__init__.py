"""Distillation: from sifted bits to a block that both ends hold alike."""
