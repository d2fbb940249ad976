"""Pictures of every format, mode and shape, for goldens and for comparisons."""
