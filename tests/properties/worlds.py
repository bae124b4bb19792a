"""Ways to run a batch of programs: in one go, replayed at every turn, or with crashes between commits."""

from __future__ import annotations

import itertools
import json
import pathlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from interpreter import register
from model import Outcome
from programs import Program, mails

from duroxide import Client, Runtime, RuntimeOptions, SqliteProvider
from duroxide._library import library

#: How long a batch may take. It only bounds a failure.
PATIENCE_SECONDS = 60.0

# Private operations of the library, for these tests only.
_MORTAL, _LIVES_LEFT = 90, 91

_numbers = itertools.count(1)


class Mortal(SqliteProvider):
    """A view of a provider's store as a process has it that dies after so many writes."""

    @classmethod
    def of(cls, provider: SqliteProvider, writes: int) -> Mortal:
        opened: Mortal = cls._open(_MORTAL, {"provider": provider._handle, "writes": writes})
        return opened

    def left(self) -> int:
        """How many writes still get through."""
        answer, _ = library().call(_LIVES_LEFT, self._handle)
        return int(answer)


class Batch:
    """Programs that were started at once on one store."""

    def __init__(self, client: Client, programs: Sequence[Program]) -> None:
        self.client = client
        self.prefix = f"b{next(_numbers)}"
        self.ids = [f"{self.prefix}-{n}" for n in range(len(programs))]
        for id, program in zip(self.ids, programs):
            wanted = mails(program)
            early = wanted // 2
            self._mail(id, range(early))  # before it starts
            client.start_orchestration(id, "interpret", {"program": program, "done": []})
            self._mail(id, range(early, wanted))

    def _mail(self, id: str, numbers: range) -> None:
        for n in numbers:
            for queue in range(3):
                self.client.enqueue_event(id, f"q{queue}", f"q{queue}:{n}")

    def running(self) -> list[str]:
        """Instances of the batch, descendants too, that have not ended."""
        page = self.client.list_instances(id_prefix=self.prefix + "-", status="Running", limit=1000)
        return [info.instance_id for info in page.items]

    def results(self) -> list[tuple[Outcome, list[Outcome]]]:
        """What the programs came to, with what they started and did not wait for."""
        page = self.client.list_instances(id_prefix=self.prefix + "-", order="oldest", limit=10_000)
        assert page.next_cursor is None
        own: dict[str, list[Outcome]] = {id: [] for id in self.ids}
        for info in page.items:
            root = info.instance_id.partition("/")[0].partition("::")[0]
            if info.parent_instance_id is None and info.instance_id != root:
                own[root].append(self.outcome(info.instance_id))
        return [(self.outcome(id), own[id]) for id in self.ids]

    def outcome(self, id: str) -> Outcome:
        status = self.client.get_status(id)
        info = self.client.get_instance_info(id)
        return Outcome(
            status=status.status,
            output=status.output,
            error=status.error,
            custom_status=status.custom_status,
            custom_status_version=status.custom_status_version,
            kv=self.kv(id),
            executions=info.current_execution_id,
        )

    def kv(self, id: str) -> dict[str, str]:
        found = {}
        for execution in self.client.list_executions(id):
            for event in self.client.read_execution_history(id, execution):
                if event.kind == "KeyValueSet":
                    key = json.loads(event.data or "{}").get("key")
                    found[str(key)] = ""
        stored = {key: self.client.get_kv_value(id, key) for key in found}
        return {key: value for key, value in stored.items() if value is not None}

    def kinds(self, id: str) -> Counter[str]:
        """How many events of each kind the histories of an instance have."""
        counted: Counter[str] = Counter()
        for execution in self.client.list_executions(id):
            counted.update(event.kind for event in self.client.read_execution_history(id, execution))
        return counted

    def forget(self) -> None:
        """Delete the instances, so that the store does not grow over thousands of programs."""
        page = self.client.list_instances(id_prefix=self.prefix + "-", limit=10_000)
        for info in page.items:
            if info.parent_instance_id is None:
                self.client.delete_instance(info.instance_id, force=True)


class World:
    """A store that lives as long as a test, with or without a runtime that stays up."""

    def __init__(self, path: pathlib.Path | None, **options: Any) -> None:
        self.path = path
        self.options: dict[str, Any] = {"verify_replay": 1.0, "log_level": "error", **options}
        self.provider = SqliteProvider.in_memory() if path is None else SqliteProvider.open(path)
        self.client = Client(self.provider, codec=options.get("codec"))
        self.runtime: Runtime | None = None

    def start(self) -> World:
        self.runtime = self.make_runtime(self.provider).start()
        return self

    def make_runtime(self, provider: SqliteProvider, **options: Any) -> Runtime:
        runtime = Runtime(provider, RuntimeOptions(**{**self.options, **options}))
        register(runtime)
        return runtime

    def run(self, programs: Sequence[Program]) -> Batch:
        """Run a batch on the runtime that is up."""
        batch = Batch(self.client, programs)
        for id in batch.ids:
            self.client.wait_for_orchestration(id, int(PATIENCE_SECONDS * 1000))
        await_end(batch)
        return batch

    def run_with_crashes(self, programs: Sequence[Program], lives: Sequence[int]) -> Batch:
        """Run a batch by runtimes that die after so many writes each; the last one lives."""
        batch = Batch(self.client, programs)
        end = time.monotonic() + PATIENCE_SECONDS
        for writes in lives:
            mortal = Mortal.of(self.provider, writes)
            runtime = self.make_runtime(mortal).start()
            while mortal.left() and batch.running():
                assert time.monotonic() < end, f"still running: {batch.running()}"
                time.sleep(0.002)
            runtime.shutdown(0)
            mortal.close()
        # It counts attempts only of what ran when its predecessors died: nothing is poisoned by ten crashes in a row.
        runtime = self.make_runtime(self.provider, max_attempts=len(lives) + 10).start()
        try:
            await_end(batch)
        finally:
            runtime.shutdown()
        return batch

    def close(self) -> None:
        try:
            if self.runtime is not None:
                self.runtime.shutdown()
            assert self.provider._check() == []
        finally:
            self.provider.close()


def await_end(batch: Batch) -> None:
    """Wait until all instances of a batch have ended, those that nobody waits for too."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        running = batch.running()
        if not running:
            return
        assert time.monotonic() < end, f"still running: {running}"
        batch.client.wait_for_orchestration(running[0], int(PATIENCE_SECONDS * 1000))
