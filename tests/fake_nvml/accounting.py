"""Accounting mode of a fake board: what each process used over its life."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .history import Use


@dataclass(slots=True)
class _Account:
    pid: int
    start_us: int
    max_bytes: int
    end_us: int | None = None
    sm_time: int = 0
    memory_time: int = 0

    def line(self, now_us: int, wall_offset_us: int) -> str:
        lasting_us = max(1, (now_us if self.end_us is None else self.end_us) - self.start_us)
        lived_ms = 0 if self.end_us is None else (self.end_us - self.start_us) // 1000
        sm, memory = self.sm_time // lasting_us // 100, self.memory_time // lasting_us // 100
        started_us, running = self.start_us + wall_offset_us, int(self.end_us is None)
        return f"account {self.pid} {sm} {memory} {self.max_bytes} {lived_ms} {started_us} {running}"


@dataclass(slots=True)
class Accounting:
    """The accounts of a board. A process is in it that ran while the mode was on."""

    mode_file: Path
    """Where the mode lies once a program has set it."""
    enabled_at_first: bool
    _accounts: list[_Account] = field(default_factory=list)
    _uses: tuple[Use, ...] = ()
    _until_us: int = 0

    @property
    def enabled(self) -> bool:
        return self.mode_file.read_text() == "1\n" if self.mode_file.exists() else self.enabled_at_first

    def run(self, start_us: int, uses: tuple[Use, ...], memory_bytes: dict[int, int]) -> None:
        """From an instant on these processes run, and no others. Their contexts hold so much memory."""
        running = self._bring_to(start_us)
        pids = {use.pid for use in uses}
        for pid, account in running.items():
            if pid not in pids:
                account.end_us = start_us
        for pid in pids - running.keys() if self.enabled else ():
            self._accounts.append(_Account(pid, start_us, memory_bytes.get(pid, 0)))
        self._uses = uses

    def clear(self) -> None:
        self._accounts.clear()

    def lines(self, now_us: int, wall_offset_us: int) -> list[str]:
        self._bring_to(now_us)
        accounts = [account.line(now_us, wall_offset_us) for account in self._accounts]
        return [f"accounting {int(self.enabled)}", *accounts]

    def _bring_to(self, now_us: int) -> dict[int, _Account]:
        running = {account.pid: account for account in self._accounts if account.end_us is None}
        for use in self._uses:
            if use.pid in running:
                running[use.pid].sm_time += use.sm * (now_us - self._until_us)
                running[use.pid].memory_time += use.memory * (now_us - self._until_us)
        self._until_us = now_us
        return running
