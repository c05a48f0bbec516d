"""`python -m refine` is the command `refine`."""

from refine.cli.main import main

if __name__ == "__main__":
    main()
