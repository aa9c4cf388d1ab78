"""Every snippet of README.md and docs/*.md runs, page by page, in a folder of its own, and prints what the page shows.

A ```python block is executed in the page's one namespace; with `>>>` prompts its output is compared. A ```console block
is a shell session: each line `$ command` runs, and the lines below it are what it must print. `...` in expected output
stands for any text. `$ command  # exit 1` states the exit code where it is not 0.
"""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwq import catalog

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STUDIES = sorted((ROOT / "docs" / "studies").glob("*.md"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """[(language, line of the file, text)] of a page."""
    text = page.read_text("utf-8")
    return [(m[1], text.count("\n", 0, m.start(2)) + 1, m[2]) for m in BLOCK.finditer(text)]


def run_python(source: str, where: str, line: int, names: dict[str, object]) -> int:
    """Execute a block; the number of statements or examples that ran."""
    if ">>>" not in source:
        exec(compile("\n" * (line - 1) + source, where, "exec"), names)
        return 1
    test = doctest.DocTestParser().get_doctest(source, names, where, where, line - 1)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failed, tried = runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert failed == 0, "".join(report)
    return tried


def run_console(source: str, where: str, line: int) -> int:
    """Run a shell session and compare what it prints; the number of commands that ran."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}
    commands = re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]
    for text in commands:
        command, _, expected = text.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = command[:-1] + more
        code = int(m[1]) if (m := re.search(r"# exit (\d+)$", command)) else 0
        run = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment)
        printed = run.stdout + run.stderr
        assert run.returncode == code, f"{where}:{line} `{command}` exits {run.returncode}\n{printed}"
        if expected.strip():
            same = doctest.OutputChecker().check_output(expected.strip() + "\n", printed.strip() + "\n", FLAGS)
            assert same, f"{where}:{line} `{command}` prints\n{printed}\nnot\n{expected}"
    return len(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for index in ("_by_name", "_by_format"):  # a page may name formats
        monkeypatch.setattr(catalog, index, dict(getattr(catalog, index)))
    names: dict[str, object] = {"__name__": "__main__"}
    ran = 0
    for language, line, source in blocks(page):
        where = page.relative_to(ROOT).as_posix()
        ran += run_python(source, where, line, names) if language == "python" else run_console(source, where, line)
    assert ran > 0 or page.name == "index.md"


@pytest.mark.parametrize("page", PAGES + STUDIES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
