"""`python -m lightune` is the command line."""

import sys

from lightune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
