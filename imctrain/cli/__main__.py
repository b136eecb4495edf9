"""`python -m imctrain.cli`."""

from imctrain.cli import main

main()
