"""The program `lrax`: its commands, and how it ends."""

from __future__ import annotations

import sys


def main() -> None:
  """Runs the command line; errors of use are one line and exit code 2.

  Args:
    None; the arguments are those of the process.

  Returns:
    None; it exits the process.

  Raises:
    SystemExit: always, with 0, 2 for an error of use, 130 after Ctrl-C.

  Source:
    lrax's own.

  Example:
    >>> import lrax.cli
    >>> callable(lrax.cli.main)
    True
  """
  try:
    import rich  # noqa: F401  the commands need it; say so before they start
    import typer

    from lrax.cli import _find
  except ImportError as error:
    print(
        f"lrax: the command line needs {error.name}; pip install 'lrax[cli]'.",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

  app = typer.Typer(
      help='Everything about the learning rate, for JAX.',
      add_completion=False,
      pretty_exceptions_enable=False,
  )

  @app.callback(invoke_without_command=True)
  def usage(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
      print(context.get_help())

  app.command('find')(_find.find)
  try:
    status = app(standalone_mode=False)
  except typer.TyperException as error:
    # A bad option: typer alone would print a box of several lines.
    _find.fail(error)
  except (typer.Abort, KeyboardInterrupt):
    raise SystemExit(130) from None
  raise SystemExit(status or 0)
