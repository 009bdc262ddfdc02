"""The options, found by hydra.searchpath=[pkg://my_lab.conf]."""
