"""Durable execution for Python."""

from duroxide._version import __version__

__all__ = ["__version__"]
