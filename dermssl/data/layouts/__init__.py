"""How images and their tables lie on the disk: one module a family of layouts, each ending in a ``Found``."""
