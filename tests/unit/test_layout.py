"""The house rules that a machine can check: imports, the size of modules, what the README says."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY
from wattledger.cli.load import load_settings

PACKAGE = REPOSITORY / "exporter/wattledger"
MODULES = sorted(PACKAGE.rglob("*.py"))

# An import points to the same row or up; within a row there is no circle.
ROWS = (
    ("__init__",),
    ("model", "snapshot", "clock", "hostfs", "errors"),
    ("settings", "logs", "systemd", "storage"),
    ("gpu", "carbon"),
    ("counters", "sensors", "workloads", "simulation"),
    ("meters", "attribution", "idle", "boards", "sensing"),
    ("ledger",),
    ("sampler",),
    ("loop",),
    ("exposition", "report", "rules"),
    ("app",),
    ("inspection",),
    ("cli",),
    ("__main__",),
)
RANK = {part: rank for rank, row in enumerate(ROWS) for part in row}


def name_of(path: Path) -> tuple[str, ...]:
    """The module's name below `wattledger`; a package is its `__init__`."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def imports_of(path: Path) -> set[tuple[str, ...]]:
    """The modules or names below `wattledger` that a module imports, in a function or at the top."""
    package = name_of(path)[:-1]
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            assert len(package) >= node.level - 1, f"{path}: a relative import out of the package"
            if node.module:
                found.add((*base, *node.module.split(".")))
            else:
                found |= {(*base, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "wattledger":
            raise AssertionError(f"{path}: imports inside the package are relative")
    return found


def part_of(imported: tuple[str, ...]) -> str:
    """The top-level part an import goes to; a name that is no module is in `__init__` (`__version__`)."""
    return imported[0] if imported[0] in RANK else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(name_of(path)))
def test_imports_point_one_way(path: Path) -> None:
    """From `model` towards `cli`, never back."""
    own = name_of(path)[0]
    assert own in RANK, f"give {own} a place in ROWS"
    backwards = [imported for imported in imports_of(path) if RANK[part_of(imported)] > RANK[own]]
    assert backwards == []


def test_no_circle_between_the_parts() -> None:
    """Parts of one row may use each other in one direction only."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        own = name_of(path)[0]
        graph.setdefault(own, set()).update(part_of(imported) for imported in imports_of(path))
        graph[own].discard(own)
    list(graphlib.TopologicalSorter(graph).static_order())


def test_the_objects_meet_in_the_composition_root_only() -> None:
    """Only `app` knows sensors, ledger and exposition at once."""
    meeting = [
        name_of(path)
        for path in MODULES
        if {"sensors", "ledger", "exposition"} <= {part_of(imported) for imported in imports_of(path)}
        or (name_of(path)[0] != "app" and {"ledger", "exposition"} <= {part_of(i) for i in imports_of(path)})
    ]
    assert {name[0] for name in meeting} <= {"app"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(name_of(path)))
def test_a_module_is_small_named_and_says_what_it_is(path: Path) -> None:
    """At most 400 lines, a docstring unless it is empty, and no name that could hold anything."""
    source = path.read_text()
    assert source.count("\n") <= 400
    assert path.stem not in ("utils", "util", "common", "helpers", "helper", "manager", "misc")
    assert not source or ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(name_of(path)))
def test_everything_is_caught_in_one_place_only(path: Path) -> None:
    """A broad except exists only in the guards per source: the sampler's and the name service's."""
    broad = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
    ]
    guards = {("sampler",), ("workloads", "names", "service")}
    assert len(broad) <= (1 if name_of(path) in guards else 0)


def readme() -> str:
    return (REPOSITORY / "README.md").read_text()


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    """At most 150 lines, with `./dev run` and `./dev test`, which exist."""
    text = readme()
    assert text.count("\n") <= 150
    assert re.search(r"^\./dev run$", text, re.M)
    assert re.search(r"^\./dev test$", text, re.M)
    words = set(re.findall(r"\./dev (\w+)", text))
    script = (REPOSITORY / "dev").read_text()
    missing = [word for word in words if not re.search(rf"^ *{word}( \\| .*)?\)", script, re.M)]
    assert missing == []


def test_every_file_the_readme_points_to_is_there() -> None:
    """No dead links into the repository."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme()) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_changelog_keeps_metric_changes_apart() -> None:
    """Whoever has alerts reads that section first."""
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert re.search(r"^### Metrics$", text, re.M)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_every_query_of_the_readme_is_valid(tmp_path: Path) -> None:
    """promtool reads each PromQL expression."""
    (block,) = re.findall(r"^```promql\n(.*?)^```$", readme(), re.M | re.S)
    expressions = block.strip().split("\n\n")
    rules = [{"record": f"readme:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "readme", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(expressions)} rules found" in done.stdout


def test_the_settings_of_the_readme_are_accepted(tmp_path: Path) -> None:
    """The example loads as it stands."""
    (block,) = re.findall(r"^```yaml\n(# wattledger run.*?)^```$", readme(), re.M | re.S)
    file = tmp_path / "wattledger.yaml"
    file.write_text(block)
    loaded = load_settings({"config.file": str(file)}, {})
    assert loaded.carbon.intensity.provider == "energy-charts"
    assert [budget.limit_g for budget in loaded.budgets] == [50_000, 2_000]


def test_the_settings_of_the_reference_are_accepted(tmp_path: Path) -> None:
    """So does the one in docs/configuration.md."""
    page = (REPOSITORY / "docs/configuration.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    file = tmp_path / "wattledger.yaml"
    file.write_text(block)
    assert load_settings({"config.file": str(file)}, {}).attribution.processes.top == 20


def test_the_methods_accuracy_table_is_the_one_that_was_printed() -> None:
    """`docs/method.md` repeats rows of `docs/accuracy.md`, which a script prints, to the letter."""
    rows = {
        name: [line for line in (REPOSITORY / "docs" / name).read_text().splitlines() if line[:6] == "| 5 s "]
        for name in ("method.md", "accuracy.md")
    }
    assert rows["method.md"] == rows["accuracy.md"]
    assert len(rows["method.md"]) >= 8
