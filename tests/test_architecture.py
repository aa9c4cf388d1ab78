"""The house rules that no single file shows: arrows, names, lengths. Sources are read with `ast`, not imported."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "hwq").rglob("*.py"))

# Who imports whom: `bits <- errors` reads "bits may import errors". What a layer may import, its importers may.
ARROWS = {
    "errors": (),
    "bits": ("errors",),
    "formats": ("bits",),
    "datapath": ("formats",),
    "kernel": ("datapath",),
    "units": ("datapath",),
    "ptq": ("datapath",),
    "costmodel": ("kernel", "units"),
    "rtl": ("kernel", "units"),
    "golden": ("datapath",),
    "export": ("costmodel",),
    "synth": ("rtl",),
    "sim": ("rtl",),
    "search": ("datapath",),
    "compiler": ("ptq", "kernel"),
    "plot": ("ptq", "costmodel", "synth", "sim", "search"),
    "zoo": ("ptq", "costmodel", "synth", "sim", "search"),
    "testing": ("ptq", "costmodel", "synth", "sim", "search"),
    "cli": ("plot", "zoo", "testing", "golden", "export", "compiler"),
}
# A layer above the products may write `import hwq`; below, it names the layer that it stands on.
TOP = ("plot", "zoo", "testing", "cli")
HEAVY = {"torch", "amaranth", "cocotb", "matplotlib", "numba"}

# Files above 300 lines, each with the reason that it is one file.
LONG: dict[str, str] = {}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def layer(path: Path) -> str:
    """The layer of a file: `hwq/bits/word.py` and `hwq/errors.py` are bits and errors, `hwq/__init__.py` is "hwq"."""
    parts = path.relative_to(ROOT / "hwq").with_suffix("").parts
    return "hwq" if parts == ("__init__",) else parts[0]


def imported(path: Path) -> Iterator[str]:
    """Dotted modules that a file imports anywhere, `from hwq import bits` as `hwq.bits`."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            if module == "hwq":
                yield from (f"hwq.{alias.name}" for alias in node.names)
            else:
                yield module


def reach(name: str) -> set[str]:
    """Every layer that `name` may import."""
    return {below for arrow in ARROWS[name] for below in {arrow, *reach(arrow)}}


def catalogue_names() -> list[str]:
    import hwq

    return sorted(hwq.catalog)


def words(path: Path) -> Iterator[str]:
    """Words of a file's strings and identifiers, but for docstrings, which explain, and dtypes such as `np.uint8`."""
    module = tree(path)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id="np" | "numpy" | "torch")):
                continue
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield from re.findall(r"[A-Za-z]\w*", text)
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                yield name


@cache
def format_classes() -> set[str]:
    """Names of the classes of number formats: `Format` and all that derive from it in hwq/formats."""
    found = {"Format"}
    classes = [node for path in FILES if layer(path) == "formats" for node in ast.walk(tree(path))]
    for _ in range(3):  # a family, a family of a family
        found |= {
            node.name
            for node in classes
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).split(".")[-1] in found for base in node.bases)
        }
    return found


def test_the_tree_is_read() -> None:
    assert len(FILES) > 10
    assert {layer(path) for path in FILES} <= {"hwq", *ARROWS}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_follow_the_arrows(path: Path) -> None:
    own = layer(path)
    allowed = set(ARROWS) if own == "hwq" else {own, *reach(own)}
    for module in imported(path):
        root, *below = module.split(".")
        if root != "hwq":
            continue
        if not below or below[0] not in ARROWS:
            assert own in ("hwq", *TOP), f"{relative(path)} imports {module}; name the layer that it stands on"
        else:
            assert below[0] in allowed, f"{relative(path)} imports {module}, against the arrows"


def test_arrows_have_no_cycle_and_the_readers_do_not_know_one_another() -> None:
    readers = {"ptq", "costmodel", "rtl", "search", "golden"}
    for name in readers:
        assert reach(name) - {"kernel", "units"} == {"datapath", "formats", "bits", "errors"}


def test_importing_hwq_is_light() -> None:
    code = f"import hwq, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == ""


def test_a_catalogue_name_occurs_once() -> None:
    names = catalogue_names()
    assert len(names) > 10
    where: dict[str, list[str]] = {name: [] for name in names}
    for path in FILES:
        for word in words(path):
            if word in where:
                where[word].append(relative(path))
    # A row such as f"int{n}" spells its names at run time: none of those occurs anywhere.
    assert {name: files for name, files in where.items() if files not in ([], ["hwq/formats/catalog.py"])} == {}
    assert sum(map(len, where.values())) > 5


@pytest.mark.parametrize("path", [path for path in FILES if layer(path) != "formats"], ids=relative)
def test_nobody_asks_for_the_class_of_a_format(path: Path) -> None:
    classes = format_classes()
    assert len(classes) > 3
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                asked = {ast.unparse(name).split(".")[-1] for name in ast.walk(kinds) if isinstance(name, ast.expr)}
            case ast.MatchClass(cls=cls):
                asked = {ast.unparse(cls).split(".")[-1]}
            case _:
                continue
        assert not asked & classes, f"{relative(path)}:{node.lineno} asks for the class of a format"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_function_passes_unnamed_options_on(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and node.args.kwarg:
            raise AssertionError(f"{relative(path)}:{node.lineno} {node.name} takes **{node.args.kwarg.arg}")


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=relative)
def test_packages_list_their_public_names(path: Path) -> None:
    """The linter sorts the list and finds names that do not exist."""
    assert [
        node for node in tree(path).body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]


def test_long_files_have_a_reason() -> None:
    long = {relative(path) for path in FILES if len(path.read_text("utf-8").splitlines()) > 300}
    assert long == set(LONG)
    assert all(LONG.values())


def test_no_test_is_skipped() -> None:
    loose = re.compile(r"pytest\.(skip|xfail|importorskip)|mark\.(skip|xfail)")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert len(tests) > 3
    assert [relative(path) for path in tests if path != Path(__file__) and loose.search(path.read_text("utf-8"))] == []
