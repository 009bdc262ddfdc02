"""The same as `attnlab evaluate`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
