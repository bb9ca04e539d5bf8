"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Task = Annotated[
    str,
    typer.Argument(
        help='A built-in task such as digits, module:name, or file.py:name.'
    ),
]
Optimizer = Annotated[str, typer.Option(help='adamw, "sgd(momentum=0.9)", ...')]
Schedule = Annotated[
    str, typer.Option(help='The rate is the peak of: cosine, linear, constant.')
]
Steps = Annotated[
    int | None, typer.Option(help="Updates of each run; the task's by default.")
]
Space = Annotated[
    list[str],
    typer.Option(
        help='A name and its range: "b2=uniform(0.9, 0.999)"; log_uniform, integer'
        ' and choice are the others. Once for each hyperparameter.'
    ),
]
Fixed = Annotated[
    list[str], typer.Option(help='A hyperparameter that all points have: b1=0.9.')
]
RATES = 'learning_rate=log_uniform(1e-5, 1)'  # where no space is given
