"""Colours that everyone can tell apart (Okabe & Ito 2008), in one place."""

TRUTH = "#000000"
PREDICTION = "#D55E00"
PAST = "#0072B2"
QUIET = "#999999"
NOTHING = "#FFFFFF"
