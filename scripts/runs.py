"""The same as `attnlab runs`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["runs", *sys.argv[1:]])
