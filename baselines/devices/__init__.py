"""What networks cost and what a device can hold. May import `baselines.protocol` and nothing else of the package."""
