"""The same as `attnlab predict`."""

import sys

from attnlab.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
