"""Inline SVG and the text beside it: pure functions without a style attribute. May import no other room."""
