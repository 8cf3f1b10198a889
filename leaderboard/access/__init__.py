"""Who may come in, and how often: accounts, visitors' addresses, rate limits.

May import operations, boards and what is below.
"""
