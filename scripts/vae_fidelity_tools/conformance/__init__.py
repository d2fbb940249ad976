"""Holds the crate against the programs that it follows, and ports against the goldens."""
