"""Passwords that are asked for anew for each connection."""

from __future__ import annotations

import threading
from typing import Callable

from duroxide import _forked
from duroxide._frames import Op
from duroxide._library import Library

__all__ = ["PasswordThread"]


class PasswordThread:
    """Asks a function for passwords, on a thread of Python's own, as long as a provider is open.

    Args:
        ask: gives the password for the next connection.
    """

    def __init__(self, library: Library, ask: Callable[[], str]) -> None:
        answer, _ = library.call(Op.NEW_PASSWORD_DESK)
        self.desk: int = answer["handle"]
        self._library = library
        # The thread holds no reference to the provider, so that one which is forgotten is closed.
        threading.Thread(target=_serve, args=(library, self.desk, ask), name="duroxide-password", daemon=True).start()

    def end(self) -> None:
        """End it without a provider: none came about."""
        self._library.call(Op.CLOSE_PASSWORD_DESK, self.desk)


def _serve(library: Library, desk: int, ask: Callable[[], str]) -> None:
    while True:
        question, _ = library.call(Op.AWAIT_PASSWORD_QUESTION, desk)
        if question is None:
            return
        password, error, retryable = _asked(ask)
        library.call(Op.ANSWER_PASSWORD, question["handle"], {"error": error, "retryable": retryable}, password)


def _asked(ask: Callable[[], str]) -> tuple[bytes, str, bool]:
    """What was answered; else what went wrong, and whether asking again may help."""
    try:
        password: object = ask()
        if _forked.parent:
            _forked.end(None, "the password callable")
    except BaseException as e:
        if _forked.parent:
            _forked.end(e, "the password callable")
        return b"", f"the password callable raised {type(e).__name__}: {e}", True
    if not isinstance(password, str):
        return b"", f"the password callable must return str, it returned {type(password).__name__}", False
    if not password or "\0" in password:
        return b"", "the password callable returned a str that is empty or holds NUL", False
    try:
        return password.encode("utf-8"), "", False
    except UnicodeEncodeError:
        return b"", "the password callable returned a str that is not Unicode text", False
