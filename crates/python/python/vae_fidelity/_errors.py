"""What could not be judged, and why."""

from __future__ import annotations

import json

from vae_fidelity._from_json import from_json
from vae_fidelity.reports import Finding


class VaeFidelityError(Exception):
    """Nothing could be judged.

    A VAE that is broken is no error: the report says so.

    >>> import vae_fidelity
    >>> try:
    ...     vae_fidelity.check("absent.png")
    ... except vae_fidelity.VaeFidelityError as error:
    ...     print(error.code, "-", error.problem, "-", error.next)
    image - no such file or directory - check the path
    """

    code: str
    """Which part could not go on: `image`, `checkpoint`, `config`, `option`, ..., as in the command's JSON."""
    subject: str
    """What it is about: a file, a tensor, a parameter."""
    problem: str
    """What is wrong: what was expected, what was found."""
    next: str
    """What to do next."""
    findings: list[Finding]
    """What the checkpoint says without running it, where it could not be loaded."""

    def __init__(self, code: str, subject: str, problem: str, next: str, findings: str = "[]") -> None:
        super().__init__(code, subject, problem, next, findings)
        self.code, self.subject, self.problem, self.next = code, subject, problem, next
        self.findings = from_json(list[Finding], json.loads(findings))

    def __str__(self) -> str:
        found = "".join(f"\n  {each.severity} {each.code}: {each.title}" for each in self.findings)
        return f"{self.subject}: {self.problem}\n  next: {self.next}{found}"


class OutOfMemory(VaeFidelityError, MemoryError):
    """The system gives no more memory."""
