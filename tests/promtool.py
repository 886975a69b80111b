"""Debian's promtool on rule files and on tests that are written in Python.

Times in such tests are seconds since the epoch: promtool begins at 1970-01-01 00:00 UTC, a Thursday.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on PATH (apt-get install prometheus)"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end and give what it printed."""
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def expect(expr: str, at: str, *samples: tuple[str, float]) -> dict[str, Any]:
    """A test that an expression gives exactly these samples, as (labels, value), at a time as in `31d1h`."""
    return {
        "expr": expr,
        "eval_time": at,
        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
    }


def run_test(
    folder: Path,
    rules: str,
    series: Sequence[tuple[str, str]],
    expectations: Sequence[dict[str, Any]],
    *,
    interval: str = "1m",
) -> str:
    """Try rules (as text) on input, evaluated at `interval`; what promtool says of failures, or ""."""
    (folder / "rules.yml").write_text(rules)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": list(expectations),
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test))
    done = promtool("test", "rules", folder / "test.yml")
    return "" if done.returncode == 0 else done.stdout + done.stderr
