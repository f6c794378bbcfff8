"""Runs on disk and many of them: folders, checkpoints, resume, sweeps, workers, progress, the mirror on W&B.

May import: training and what it may import.
"""
