"""The same as `attnlab sync`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["sync", *sys.argv[1:]])
