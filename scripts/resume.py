"""The same as `attnlab resume`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["resume", *sys.argv[1:]])
