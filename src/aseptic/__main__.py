"""``python -m aseptic`` is the command line."""

from aseptic.cli.main import main

main()
