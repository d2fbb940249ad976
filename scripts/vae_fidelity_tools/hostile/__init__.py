"""What the command is tried with that a hostile user would think of. Needs no package but Python's own."""
