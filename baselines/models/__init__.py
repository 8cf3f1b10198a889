"""One file per model: its network and its `MODEL` card (see `baselines.registry`). Files without a card are
shared blocks.

May import `baselines.protocol` and nothing else of the package.
"""
