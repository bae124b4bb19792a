"""A worker process of a test: `node.py STORE NAME OPTIONS`. It says what it does, and does what it is told.

OPTIONS are those of RuntimeOptions, as JSON. It prints ``ready``, then ``begun INSTANCE`` for each activity ``Hold``,
which goes on when it reads ``go``; it ends when it reads ``end``. Its log goes to stderr.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from duroxide import Runtime, RuntimeOptions
from stores import open_store


def main(store: str, name: str, options: str) -> None:
    go = threading.Event()
    with open_store(store) as provider:
        runtime = Runtime(provider, RuntimeOptions(**json.loads(options)))

        @runtime.register_activity("Hold")
        def hold(ctx: Any, input: Any) -> str:
            print("begun", ctx.instance_id, flush=True)
            go.wait()
            return name

        runtime.register_activity("Where", lambda ctx, input: [name, ctx.tag()])

        @runtime.register_orchestration("Holds")
        def holds(ctx: Any, input: Any) -> Any:
            return (yield ctx.schedule_activity("Hold"))

        @runtime.register_orchestration("InSession")
        def in_session(ctx: Any, session: str) -> Any:
            return (yield ctx.schedule_activity_on_session("Where", None, session))[0]

        @runtime.register_orchestration("Tagged")
        def tagged(ctx: Any, tags: list[str]) -> Any:
            tasks = [ctx.schedule_activity("Where").with_tag(tag) for tag in tags]
            return [r["ok"] for r in (yield ctx.all([ctx.schedule_activity("Where"), *tasks]))]

        with runtime:
            print("ready", flush=True)
            for line in sys.stdin:
                if line.strip() == "go":
                    go.set()
                else:
                    break


if __name__ == "__main__":
    main(*sys.argv[1:4])
