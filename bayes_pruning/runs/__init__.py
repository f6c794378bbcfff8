"""Keep runs on disk, and train many of them: folders, checkpoints, sweeps, workers, progress, the mirror on W&B.

May import: training and what it may import.
"""
