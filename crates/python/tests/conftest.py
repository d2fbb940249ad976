"""Marks of these tests."""


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: what .ci/run leaves to .ci/full")
