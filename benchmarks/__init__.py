"""What is claimed to be fast, timed beside the plain alternative in the same run: `make bench`."""
