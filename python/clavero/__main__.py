"""`python -m clavero`: the same as the command `clavero`."""

from clavero.cli import main

if __name__ == "__main__":
    main()
