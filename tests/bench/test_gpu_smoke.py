"""The GPU benchmark runs and prints whole tables; what it measures is not judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.gpu import STAGES, measure, report
from tests.bench.test_smoke import needs_cgroups
from tests.fake_nvml_driver import missing


@needs_cgroups
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.e2e
def test_the_gpu_tables_have_a_row_for_each_thing_measured(tmp_path: Path) -> None:
    """Two boards, four processes; a row for every stage and for the worker's three figures."""
    cost = measure(2, 4, 2, tmp_path, interval_s=0.2)
    assert (cost.boards, cost.processes, cost.ticks) == (2, 4, 2)
    assert set(cost.stage_us) == {*STAGES, "all"}
    assert cost.worker_rss_mib > 1
    tables = [block.splitlines() for block in report(cost).split("\n\n") if block.startswith("|")]
    assert [len(lines) for lines in tables] == [2 + len(STAGES) + 1, 5]
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
