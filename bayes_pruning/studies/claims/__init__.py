"""Check each statement of the paper against logged runs.

`rules` says how a claim is decided, `learning_curves` and `sparsities` hold the claims, `verdicts` judges all of them.
"""
