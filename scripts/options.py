"""The same as `attnlab options`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["options", *sys.argv[1:]])
