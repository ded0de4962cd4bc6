"""A timm model from a WEIGHTS argument and back to disk, and what is known of it."""
