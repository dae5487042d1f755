"""The entry point: commands, and one line on stderr for whatever goes wrong."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import click

from bnnopt import __version__
from bnnopt.cli.attack import attack
from bnnopt.cli.campaign import campaign
from bnnopt.cli.completion import add_completion
from bnnopt.cli.data import data
from bnnopt.cli.exit_codes import BAD_INPUT, FAILED, INTERRUPTED
from bnnopt.cli.export import export
from bnnopt.cli.import_network import import_network
from bnnopt.cli.method_list import methods
from bnnopt.cli.networks import networks
from bnnopt.cli.proofs import check_proof
from bnnopt.cli.solver_list import solvers
from bnnopt.cli.train import train
from bnnopt.cli.verify import verify
from bnnopt.cli.vnnlib import vnnlib
from bnnopt.errors import (
    BnnoptError,
    CampaignError,
    DataError,
    ExportError,
    ImportDisagreesError,
    SolverFailureError,
    StoreError,
    UnknownNameError,
)

__all__ = ["main"]

WORK_ERRORS = (
    CampaignError,
    DataError,
    ExportError,
    ImportDisagreesError,
    SolverFailureError,
    StoreError,
)
"""Errors of the work, not of what was asked for."""


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise UnknownNameError("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bnnopt")
def commands() -> None:
    """Find, and prove, the worst-case inputs of binarized neural networks."""


COMMANDS = (
    attack,
    campaign,
    check_proof,
    data,
    export,
    import_network,
    methods,
    networks,
    solvers,
    train,
    verify,
    vnnlib,
)

for command in COMMANDS:
    commands.add_command(command)
add_completion(commands)


def main() -> NoReturn:
    """Run the command line; exit 0 done, 1 the work failed, 2 bad input, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have any bytes
    try:
        code = commands.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        code = BAD_INPUT
    except click.UsageError as error:
        code = _complain(error.format_message(), BAD_INPUT)
    except click.ClickException as error:
        code = _complain(error.format_message(), BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        code = _complain("interrupted", INTERRUPTED)
    except WORK_ERRORS as error:
        code = _complain(str(error), FAILED)
    except BnnoptError as error:
        code = _complain(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output went away; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except OSError as error:
        named = f": {error.filename}" if error.filename else ""
        code = _complain(f"{error.strerror or error}{named}", FAILED)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"bnnopt: {line}", file=sys.stderr)
    return code
