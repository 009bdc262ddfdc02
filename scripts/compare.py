"""The same as `attnlab compare`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
