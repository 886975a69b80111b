"""`wattledger gpu`: the boards of a running agent, and a recorder of what NVML answers."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import click

from ..errors import SensorError
from ..gpu import control
from .flags import given
from .load import load_settings
from .state import state_folder, state_options

WAIT_S = 10.0
STEP_S = 0.05


@click.group(short_help="Release and acquire GPUs, or record what they answer.")
def gpu() -> None:
    """Let a running agent release its GPUs and take them back, or record what NVML answers here."""


def _pid_option(command: Any) -> Any:
    return click.option(
        "--pid", type=click.IntRange(2), help="The agent's process.  [default: who locks the state directory]"
    )(command)


@gpu.command(short_help="Free the device files of NVIDIA boards.")
@_pid_option
@state_options
def release(pid: int | None, **parameters: Any) -> int:
    """Have the running agent close NVIDIA's device files: for a driver upgrade, MIG changes or a reset.

    The agent goes on measuring everything else. Exit status 0: nothing of the agent holds the boards any
    more; others that do are listed.
    """
    agent = _ask(control.RELEASE, pid, parameters)
    waited_s = 0.0
    while control.workers_of(agent) and waited_s < WAIT_S:
        time.sleep(STEP_S)
        waited_s += STEP_S
    stuck = control.workers_of(agent)
    if stuck:
        click.echo(f"worker {stuck[0]} is stuck in the driver and keeps the boards", err=True)
        return 1
    click.echo("released; wattledger gpu acquire takes the boards back")
    for holder, name in control.holders():
        click.echo(f"still held by process {holder} ({name})")
    return 0


@gpu.command(short_help="Take released boards back.")
@_pid_option
@state_options
def acquire(pid: int | None, **parameters: Any) -> int:
    """Have the running agent take the NVIDIA boards back after a release."""
    _ask(control.ACQUIRE, pid, parameters)
    click.echo("asked the agent to take the boards back")
    return 0


@gpu.command(short_help="Record what NVML answers, and at what cost.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True, help="How long to record."
)
@click.option(
    "--output", type=click.File("w", lazy=False), default="-", show_default="standard output",
    help="Where the JSON lines go.",
)  # fmt: skip
def record(seconds: float, output: Any) -> int:
    """Write what every NVML call answers and costs as JSON lines, and a summary on standard error.

    It needs no agent, and it wakes boards that sleep. The file names processes and boards, so look at it
    before you give it to anyone.
    """
    try:
        from ..gpu.recorder import Recorder  # noqa: PLC0415 - it needs the binding, which may be missing

        summary = Recorder(output).run(seconds, time.sleep)
    except (ImportError, SensorError) as error:
        click.echo(f"NVML cannot be used: {error}", err=True)
        return 1
    for call, told in summary["calls"].items():
        errors = " ".join(f"{reason}={count}" for reason, count in told["errors"].items())
        cost = f"{told['median_us']:10.1f} us, at most {told['max_us']:.1f}"
        sys.stderr.write(f"{call:28}{told['count']:7} x{cost}  {errors}\n")
    for uuid, told in summary["boards"].items():
        sys.stderr.write(f"{uuid}: counter {told['counter_mj']} mJ in {told['seconds']:.1f} s")
        for call, energy_mj in told["integrated_mj"].items():
            ratio = f"{told['counter_mj'] / energy_mj:.4f}" if energy_mj else "-"
            sys.stderr.write(f"; {call} {energy_mj} mJ (ratio {ratio})")
        sys.stderr.write(f"; step {told['counter_step_ms']} ms\n")
    return 0


def _ask(request: signal.Signals, pid: int | None, parameters: dict[str, Any]) -> int:
    """Send the request to the agent and return its process."""
    try:
        agent = _agent(parameters) if pid is None else pid
        control.ask(agent, request)
    except control.ControlError as error:
        raise click.ClickException(str(error)) from error
    return agent


def _agent(parameters: dict[str, Any]) -> int:
    settings = load_settings(given(parameters), os.environ)
    folder = state_folder(settings.storage.path)
    if folder is None:
        raise control.ControlError("no state directory is known; name the agent with --pid")
    return control.agent_of(folder)
