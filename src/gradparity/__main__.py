"""``python -m gradparity``, which is the command `gradparity`."""

from .cli import main

main(prog_name="gradparity")
