"""Many networks as one program: stacks of parameters, layers, Adam, devices, memory. Nothing of the paper's method.

May import: config, models, data.
"""
