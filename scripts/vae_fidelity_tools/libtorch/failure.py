"""What the user is told."""


class Failure(Exception):
    """Something the user has to act on: what is wrong, then what to do."""

    def __init__(self, problem: str, next_step: str):
        super().__init__(problem)
        self.next_step = next_step


def say(text: str) -> None:
    print(text, flush=True)
