"""Extend Hydra for this project; Hydra finds these plugins by the namespace package hydra_plugins."""
