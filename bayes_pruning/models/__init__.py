"""The networks of Figures 2 and 3, as plain `nn.Module`s.

May import: config.
"""
