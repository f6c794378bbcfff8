"""The fault campaign: runs that are killed at chosen and at random moments, and started again until they end."""
