"""The same as `attnlab train`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
