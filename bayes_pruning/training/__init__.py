"""The epoch of section 1.1 (Figure 1) for a stack of runs: train, evaluate, decide, prune, evaluate again.

May import: config, data, models, engine, pruning.
"""
