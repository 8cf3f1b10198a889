"""The pages: views parse, call an operation or a board, respond, and write nothing. May import the API and below."""
