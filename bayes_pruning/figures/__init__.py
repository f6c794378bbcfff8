"""Draw Figures 4 to 21 of the paper from a tidy frame of logged runs.

May import: results.
"""
