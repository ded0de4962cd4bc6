"""``python -m dermssl``: the command line, also the entry point for ``torchrun -m dermssl``."""

from dermssl.cli import main

main()
