"""A worker process: a runtime on the database of the demo, until it is stopped or killed."""

from __future__ import annotations

import sys

import orders

from duroxide import Runtime, RuntimeOptions, SqliteProvider


def main() -> None:
    with SqliteProvider.open(sys.argv[1]) as provider:
        runtime = Runtime(provider, RuntimeOptions(log_level="error"))
        orders.register(runtime)
        runtime.run_forever()


if __name__ == "__main__":
    main()
