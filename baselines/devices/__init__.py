"""The costs of networks; devices, their names and memory. May import `baselines.protocol` and no other room."""
