"""The pages, one file per subject. Views parse, call an operation or a board, and respond; they write nothing.

May import the API, the template filters, access, operations and what is below.
"""
