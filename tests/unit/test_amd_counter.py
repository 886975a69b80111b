"""The real amdsmi binding against a library made for the test: two boards, one of which does not count."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wattledger.gpu.amd_counter import AmdSmiCounter

SPEC = importlib.util.find_spec("amdsmi")
needs_binding = pytest.mark.skipif(
    SPEC is None or not shutil.which("cc"), reason="no amdsmi or no C compiler"
)

ANSWERS = """
#include <stdint.h>
#include <string.h>
int amdsmi_init(uint64_t flags) { (void)flags; return 0; }
int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
    if (handles) handles[0] = (void *)0x10;
    *count = 1;
    return 0;
}
int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
    (void)socket;
    if (handles) { handles[0] = (void *)0x20; handles[1] = (void *)0x30; }
    *count = 2;
    return 0;
}
int amdsmi_get_gpu_device_bdf(void *handle, uint64_t *bdf) {
    *bdf = handle == (void *)0x20 ? 0x0300 : 0x8300; /* bus in bits 8 to 15 */
    return 0;
}
int amdsmi_get_energy_count(void *handle, uint64_t *ticks, float *resolution, uint64_t *at) {
    if (handle == (void *)0x30) return 2; /* not supported */
    *ticks = 1000000;
    *resolution = 15.25f;
    *at = 1;
    return 0;
}
"""
ASK = """
import json, sys
from wattledger.gpu.amd_counter import AmdSmiCounter
counter = AmdSmiCounter()
print(json.dumps([counter(pci) for pci in sys.argv[1:]]))
"""


def ask(rocm: Path, *pcis: str) -> list[int | None]:
    environment = {**os.environ, "ROCM_PATH": str(rocm), "PYTHONPATH": "exporter"}
    environment.pop("ROCM_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", ASK, *pcis], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@needs_binding
def test_a_board_that_counts_gives_microjoules_and_one_that_does_not_gives_none(tmp_path):
    """A million ticks of 15.25 uJ."""
    wrapper = (Path(SPEC.origin).parent / "amdsmi_wrapper.py").read_text()
    wanted = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper))
    given = set(re.findall(r"^int (\w+)\(", ANSWERS, re.M))
    rest = "".join(f"int {name}(void) {{ return 2; }}\n" for name in sorted(wanted - given))
    (tmp_path / "lib").mkdir()
    (tmp_path / "smi.c").write_text(ANSWERS + rest)
    library = str(tmp_path / "lib/libamd_smi.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, str(tmp_path / "smi.c")], check=True)
    asked = ask(tmp_path, "0000:03:00.0", "0000:83:00.0", "0000:99:00.0")
    assert asked == [15_250_000, None, None]


@needs_binding
def test_a_binding_without_its_library_is_silent(tmp_path):
    """It says nothing on stdout, which belongs to `wattledger once`."""
    assert ask(tmp_path, "0000:03:00.0") == [None]


def test_a_host_without_the_binding_has_no_counter():
    assert AmdSmiCounter("amdsmi_that_nobody_has")("0000:03:00.0") is None
