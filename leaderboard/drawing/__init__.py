"""Inline SVG and the text beside it: pure functions from numbers to markup, without a style attribute anywhere.

May import the evaluator's definitions, and no other room of the site.
"""
