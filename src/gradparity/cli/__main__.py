"""``python -m gradparity.cli``."""

from . import main

main(prog_name="gradparity")
