"""Options and fixtures that every part's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDEN = Path(__file__).parent / "golden"
ALONE = frozenset(
    {
        "test_gpu_agent.py",
        "test_gpu_split.py",
        "test_nvidia_worker.py",
        "test_peer_defects_served.py",
        "test_real_cgroups.py",
        "test_real_host.py",
        "test_real_slurm.py",
        "test_signals.py",
        "test_smoke.py",
    }
)
"""Files whose tests compare times, or shares of CPU that real processes get."""

LONG = ("test_fleet.py", "test_budget_alert.py", "test_rules_files.py", "test_image.py", "test_report.py")
"""Files that take a minute or more each, waiting or working: they begin first, so none is left to the end."""

# How long an example takes says how busy the machine is, for several tests run at once.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in ALONE:
            item.add_marker("alone")
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the goldens instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file under tests/golden, or write the file with --update-goldens."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-goldens"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), (
            f"{path}: run pytest --update-goldens if this is meant"
        )

    return check
