"""The filters and tags of the templates. May import access, operations and what is below."""
