"""`python -m escp` and the frozen program."""

import sys

from escp.cli import main

if __name__ == "__main__":
    sys.exit(main())
