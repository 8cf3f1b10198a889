"""Who comes in, and how often: accounts, addresses of visitors, rate limits. May import operations and models."""
