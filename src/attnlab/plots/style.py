"""Colours that everyone can tell apart (Okabe & Ito 2008), in one place."""

TRUTH = "#000000"
PREDICTION = "#D55E00"
PAST = "#0072B2"
QUIET = "#999999"
NOTHING = "#FFFFFF"
#: For groups that are told apart by nothing but their colour.
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
