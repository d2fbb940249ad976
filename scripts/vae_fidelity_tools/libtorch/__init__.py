"""Which libtorch the crates are built with, and where one is already. Needs no package but Python's own."""
