"""The benchmarks run and print whole tables; what they measure is not judged here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.bench import names
from tests.bench.load import Load, hierarchies
from tests.bench.soak import play, verdict
from tests.bench.speed import Effort, measure
from tests.bench.speed_report import Size, report
from tests.bench.stages import FORMATS, STAGES

TINY = Size(processes=6, containers=2, tick_ms=1, render_ms=1, rss_mib=45)
SOON = Effort(ticks=2, settle_s=0.05, daemon_ticks=1, daemon_interval_s=1.0, scrapes=1, peer_scrapes=1)


def can_make_cgroups() -> bool:
    """Root is not enough: in a container the hierarchy may be read-only."""
    roots = [one.root for one in hierarchies()]
    return (
        bool(roots)
        and all(os.access(root, os.W_OK) for root in roots)
        and shutil.which("busybox") is not None
    )


needs_cgroups = pytest.mark.skipif(not can_make_cgroups(), reason="needs root, writable cgroups and busybox")


def our_folders() -> list[Path]:
    return [folder for one in hierarchies() for folder in one.root.glob(f"wattledger-bench-{os.getpid()}*")]


@needs_cgroups
@pytest.mark.e2e
def test_the_load_is_what_was_asked_for_and_leaves_nothing_behind():
    """Two containers of three processes, in every hierarchy; afterwards no cgroup and no process."""
    with Load(6, 2, pods=True):
        for one in hierarchies():
            containers = list(one.root.glob("wattledger-bench-*/**/cri-containerd-*.scope"))
            members = [(folder / "cgroup.procs").read_text().split() for folder in containers]
            assert [len(pids) for pids in members] == [3, 3]
    assert our_folders() == []
    assert [pid for pid in (*members[0], *members[1]) if _alive(pid)] == []


def _alive(pid: str) -> bool:
    """A zombie is dead: who inherited it buries it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@needs_cgroups
@pytest.mark.e2e
def test_the_speed_tables_have_a_row_for_each_thing_measured(tmp_path):
    result = measure(TINY, SOON, tmp_path)
    assert set(result.ticks) == {one.version for one in hierarchies()}
    for cost in result.ticks.values():
        assert set(cost.stage_ns) == set(STAGES)
        assert set(cost.render_ns) == set(FORMATS)
        assert len(cost.tick_ns) == SOON.ticks
        assert cost.active >= TINY.containers
    text = report([result])
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
    assert len(tables[0]) == 2 + len(result.ticks)
    assert [line.split("|")[1].strip() for line in tables[1][2:]][: len(STAGES)] == list(STAGES)
    assert any("psutil" in line for line in tables[4])


def test_the_soak_tells_growth_from_a_level():
    """Each figure twice: at a tenth of the way and at the end."""
    level = {"traced": (1_000_000, 1_050_000), "resident": (40_000_000, 40_500_000)}
    assert verdict(level) == []
    assert len(verdict(level | {"traced": (1_000_000, 9_000_000)})) == 1


def test_the_soak_plays_every_tick(tmp_path):
    outcome = play(ticks=20, births=3, folder=tmp_path)
    assert outcome.ticks == 20
    assert outcome.born > outcome.alive
    assert outcome.limited > 0
    assert set(outcome.memory) == {"traced", "resident"}


def test_the_names_benchmark_names_every_container_and_ticks(tmp_path):
    """Ten containers, named from Docker's files; two ticks with the service on."""
    names.docker_root(tmp_path, 10)
    service = names.service_for(tmp_path)
    try:
        assert names.resolve_ms(service, 10)[1] == 10
        assert len(names.tick_ms(service, 10, 2)) == 2
    finally:
        service.stop()
