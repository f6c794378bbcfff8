"""Read what was logged, from run folders, W&B or a published archive, as one tidy frame; cells and statistics.

It does so without torch. May import: config, and the decisions and file formats of pruning, training and runs.
"""
