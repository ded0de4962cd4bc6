"""How images and their tables lie on the disk: one module per family of layouts, each ending in a ``Found``."""
