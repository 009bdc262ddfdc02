"""The same as `attnlab dashboard`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["dashboard", *sys.argv[1:]])
