"""Hydra plugins of this project; Hydra finds them because they live in the namespace package hydra_plugins."""
