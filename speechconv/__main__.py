"""`python -m speechconv` is the command `speechconv`."""

import sys

from speechconv.cli import main

if __name__ == "__main__":
    sys.exit(main())
