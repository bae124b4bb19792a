"""Every code block of the documentation runs and prints what the page says."""

from __future__ import annotations

import pathlib

import pytest

from doc_pages import ROOT, Page, blocks, pages, promised
from duroxide import PostgresProvider, SqliteProvider, _options, _runtime
from postgres_server import Dropper
from stores import Schema, new_schema


def shown(page: pathlib.Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_page_keeps_its_word(
    page: pathlib.Path, mode: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "replayed":
        _, check = _options._OPTIONS["live_executions"]
        monkeypatch.setitem(_options._OPTIONS, "live_executions", (0, check))
    monkeypatch.chdir(tmp_path)
    running = set(_runtime._running)
    try:
        Page(page, tmp_path).run()
        left = set(_runtime._running) - running
        assert not left, f"the page leaves a runtime running, and so would its readers: {left}"
    finally:
        for runtime in set(_runtime._running) - running:
            runtime.shutdown()


IN_MEMORY = "SqliteProvider.in_memory()"
SAYS_SQLITE = {"docs/guide/testing.md"}  # copies a file; promises what a store in memory verifies


@pytest.mark.parametrize("page", [p for p in pages() if IN_MEMORY in p.read_text(encoding="utf-8")], ids=shown)
def test_page_holds_on_postgres_too(
    page: pathlib.Path,
    database_url: str,
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if shown(page) in SAYS_SQLITE:
        pytest.skip("about SQLite")
    dropper: Dropper = request.getfixturevalue("_dropper")
    opened: list[tuple[Schema, PostgresProvider]] = []

    def connect() -> PostgresProvider:
        schema = new_schema(database_url)
        opened.append((schema, PostgresProvider.connect_with_schema(schema.url, schema.name)))
        return opened[-1][1]

    monkeypatch.setattr(SqliteProvider, "in_memory", connect)
    monkeypatch.chdir(tmp_path)
    try:
        Page(page, tmp_path).run()
        assert opened
    finally:
        for runtime in set(_runtime._running):
            runtime.shutdown()
        for schema, provider in opened:
            provider.close()
            dropper.drop(schema.name)


def test_pages_are_found() -> None:
    names = {shown(p) for p in pages()}
    assert {"README.md", "docs/index.md", "docs/quickstart.md", "docs/reference/index.md"} <= names


def write(folder: pathlib.Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return Page(path, folder)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1 + 1)  # 3\n```\n",
        "```python\nprint(1)  # 1\nprint(2)\n```\n",
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\nx = undefined\n```\n",
        "```ruby\nputs 1\n```\n",
        "```\nno language\n```\n",
        "```py\nthis is no Python\n```\n",
        "```sh\nrm -rf /tmp/nowhere\n```\n",
        "```sh\nmake nothing\n```\n",
        "```sh\npip install 'duroxide[nothing]'\n```\n",
        "```sh\npython -m duroxide check missing.db\n```\n",
        "```sql\nSELECT nothing FROM nowhere\n```\n",
        "<!-- run: python\nassert False\n-->\n",
    ],
)
def test_a_page_that_does_not_is_found_out(text: str, tmp_path: pathlib.Path) -> None:
    page = write(tmp_path, text)
    with pytest.raises((AssertionError, NameError, SyntaxError)):
        page.run()


def test_blocks_of_a_page_share_names_and_see_their_line(tmp_path: pathlib.Path) -> None:
    page = write(
        tmp_path, "# A\n\n```python\nx = 1\n```\n\n<!-- run: python\ny = 2\n-->\n\n```python\nz = x + y + w\n```\n"
    )
    with pytest.raises(NameError) as caught:
        page.run()
    assert page.names["y"] == 2
    assert caught.traceback[-1].lineno + 1 == 12


def test_what_counts_as_a_promise() -> None:
    source = (
        'a = 1  # no\nprint(a)  # one\nif a:\n    # no\n    print(\n        a,\n    )  # two\nx = "print(1)  # no"\n'
    )
    assert promised(source + 'x = "print(1)  # no"\n') == ["one", "two"]


def test_text_only_counts_directly_behind_code() -> None:
    found = blocks("```python\nprint(1)\n```\n\n```text\n1\n```\n\nProse.\n\n```text\nnot output\n```\n")
    assert [b.follows for b in found] == [False, True, False]
