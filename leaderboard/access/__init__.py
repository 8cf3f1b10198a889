"""Who may come in, and how often: accounts, visitors, rate limits. May import operations and what is below."""
