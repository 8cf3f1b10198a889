"""Inline SVG and the words beside it: pure functions from numbers to markup, without a style attribute anywhere."""
