"""The Python package that users install: its generated part."""
