"""Run the fault campaign: runs are killed at chosen and at random moments, and started again until they end."""
