"""Colours of the pictures: Okabe and Ito's, and never a colour alone."""

# A page replaces these two by its own, light or dark.
INK = "#1b1b1b"
PAPER = "#ffffff"

GREY = "#808080"
BLUE = "#0072b2"
GREEN = "#009e73"
ORANGE = "#d55e00"
