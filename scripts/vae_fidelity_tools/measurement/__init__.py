"""Measures what tests are judged by, and what the documentation says: tolerances, faults found, speed."""
