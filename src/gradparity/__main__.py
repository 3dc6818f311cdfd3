"""`python -m gradparity`, which is the command `gradparity`."""

from .cli import main

if __name__ == "__main__":
    main()
