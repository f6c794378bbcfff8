"""The statements of the paper, each held against logged runs.

`rules` says how a claim is decided, `curves` and `sparsity` hold the claims, `verdicts` judges all of them.
"""
