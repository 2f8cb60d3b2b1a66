"""Formats and rules that both ends of a connection share.  Pure functions and frozen values; no I/O."""
