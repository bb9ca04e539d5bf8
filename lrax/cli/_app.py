"""The commands of the program, put together with typer."""

from __future__ import annotations

import typer

from lrax.cli import _diagnose
from lrax.cli import _find
from lrax.cli import _output
from lrax.cli import _schedule
from lrax.cli import _search
from lrax.cli import _stability
from lrax.cli import _study
from lrax.cli import _sweep

app = typer.Typer(
    help='Everything about the learning rate, for JAX.',
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command('find')(_find.find)
app.command('sweep')(_sweep.sweep)
app.command('search')(_search.search)
app.command('study')(_study.study)
app.command('schedule')(_schedule.schedule)
app.command('stability')(_stability.stability)
app.command('diagnose')(_diagnose.diagnose)


@app.callback(invoke_without_command=True)
def usage(context: typer.Context) -> None:
  """Everything about the learning rate, for JAX."""
  if context.invoked_subcommand is None:
    print(context.get_help())


def run() -> None:
  """Runs the command of the process's arguments, and exits."""
  try:
    status = app(standalone_mode=False)
  except typer.TyperException as error:
    # A bad option: typer alone would print a box of several lines.
    _output.fail(error.format_message(), error)
  except (typer.Abort, KeyboardInterrupt):
    raise SystemExit(130) from None
  raise SystemExit(status or 0)
