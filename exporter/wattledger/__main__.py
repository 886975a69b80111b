"""`python -m wattledger` and the console script: every user error is one line on stderr and exit status 2."""

from __future__ import annotations

import sys

import click

from .cli.group import wattledger
from .errors import SettingsError, StorageError

_COULD_NOT_START = 2


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        status = wattledger.main(prog_name="wattledger", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "wattledger"
        message = error.format_message()
        return _refuse(f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{command} --help`.")
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (SettingsError, StorageError) as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, click.Abort):
        return 130
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message)
    sys.stderr.write(f"wattledger: {line}\n")
    return _COULD_NOT_START


if __name__ == "__main__":
    sys.exit(main())
