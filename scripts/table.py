"""The same as `attnlab table`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["table", *sys.argv[1:]])
