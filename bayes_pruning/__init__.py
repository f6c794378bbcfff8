"""Pruning neural networks while they train, with a Bayes factor that decides when (Mathew and Rowe, 2023).

Data flows one way, and each module imports only from those before it:

    config -> datasets, models -> stack -> training (pruning, posterior) -> runs -> results -> tables, figures
"""

__version__ = "0.1.0"
