"""The data sets of the experimental setup: checked files, decoded, as tensors on a device.

May import: config.
"""
