"""The pages: parse, call an operation or a board, answer. Write nothing."""
