"""A conversation that may go on for years: one eternal workflow for each user.

python examples/chat_bot/chat_bot.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from duroxide import Client, Runtime, SqliteProvider

TURNS_PER_EXECUTION = 3  # small, so that the example shows it; hundreds in earnest
REMEMBERED = 4


def chat(ctx: Any, input: Any) -> Any:
    """Answer messages of the queue ``inbox`` until one says bye.

    The conversation is kept in the key-value store, which goes on over ``continue_as_new`` and can be read from
    outside. Each reply is published as custom status with the number of the message that it answers.
    """
    for _ in range(TURNS_PER_EXECUTION):
        message = yield ctx.dequeue_event("inbox")
        turns = json.loads(ctx.get_kv_value("turns") or "[]")
        if message["text"] == "bye":
            ctx.set_custom_status(json.dumps({"to": message["number"], "reply": "Good bye."}))
            return {"answered": int(ctx.get_kv_value("answered") or 0)}
        reply = yield ctx.schedule_activity_with_retry(
            "think", {"text": message["text"], "before": turns}, {"max_attempts": 3, "timeout_ms": 60_000}
        )
        turns = [*turns, [message["text"], reply]][-REMEMBERED:]
        ctx.set_kv_value("turns", json.dumps(turns))
        ctx.set_kv_value("answered", int(ctx.get_kv_value("answered") or 0) + 1)
        ctx.set_custom_status(json.dumps({"to": message["number"], "reply": reply}))
    yield ctx.continue_as_new()


def think(ctx: Any, question: dict[str, Any]) -> str:
    """Stands for a language model: it knows what was said before, and answers."""
    said = [text for text, _ in question["before"]]
    if question["text"] == "What did I say?":
        return "You said: " + " / ".join(said) if said else "Nothing yet."
    return f"{question['text']} is interesting."


class Conversation:
    """What a web server does for one user: send a message, wait for its reply."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self.instance = f"chat-{user}"
        client.start_orchestration(self.instance, "chat")  # does nothing when the conversation exists
        status = client.get_status(self.instance)
        self.version = status.custom_status_version
        self.number = json.loads(status.custom_status)["to"] if status.custom_status else 0

    def say(self, text: str) -> str:
        self.number += 1
        self.client.enqueue_event(self.instance, "inbox", {"number": self.number, "text": text})
        while True:
            status = self.client.wait_for_status_change(self.instance, self.version)
            if status is None or status.custom_status is None:
                raise TimeoutError(f"no reply to message {self.number}")
            self.version = status.custom_status_version
            reply = json.loads(status.custom_status)
            if reply["to"] == self.number:
                return str(reply["reply"])


def make_runtime(provider: SqliteProvider) -> Runtime:
    runtime = Runtime(provider)
    runtime.register_orchestration("chat", chat)
    runtime.register_activity("think", think)
    return runtime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, SqliteProvider.open(Path(folder) / "chat.db") as provider:
        client = Client(provider)
        for texts in (["Tea", "Rain", "What did I say?", "Snow"], ["What did I say?", "bye"]):
            # A new worker and a new connection each time: the conversation does not notice.
            with make_runtime(provider):
                conversation = Conversation(client, "ada")
                for text in texts:
                    print(f"ada: {text}")
                    print(f"bot: {conversation.say(text)}")
        print(
            client.wait_for_orchestration("chat-ada").output,
            "in",
            len(client.list_executions("chat-ada")),
            "executions",
        )


if __name__ == "__main__":
    main()
