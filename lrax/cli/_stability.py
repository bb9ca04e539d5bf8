"""`lrax stability TASK`: how high the rate may go, from the curvature of the loss."""

from __future__ import annotations

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Annotated
from typing import Any

import jax
from jax.tree_util import Partial
import numpy as np
import typer

from lrax import _checks
from lrax import stability as stability_
from lrax import tasks
from lrax.cli import _curvature
from lrax.cli import _options
from lrax.cli import _report
from lrax.cli import _training
from lrax.stability import _preconditioned
from lrax.stability import _probe
from lrax.stability import _recognise

_POINTS = 10  # of the sharpness over the training
_ROUGH = 1e-2  # relative error there
_EXTREMES = 2  # eigenvalues of each end
# Products with the Hessian: for the extremes at most, for each of the probes of the
# density, and for the trace.
_MOST, _PROBES, _EACH, _SAMPLES = 96, 4, 32, 32


def stability(
    task: _options.Task,
    optimizer: _options.Optimizer = 'adamw',
    steps: Annotated[
        int, typer.Option(help='Updates to train for first; 0 for none.')
    ] = 100,
    rate: Annotated[
        float, typer.Option(help='The constant rate to train at, and to judge.')
    ] = 0.01,
    batches: Annotated[
        int, typer.Option(help='The curvature is of at most so many batches.')
    ] = 64,
    seed: Annotated[int, typer.Option(help='For parameters, batches and probes.')] = 0,
    out: Annotated[
        Path,
        typer.Option(
            help='The folder for stability.json, stability.csv and stability.png.'
        ),
    ] = Path('lrax-out'),
) -> None:
  """Says how high the rate of TASK may go: the curvature, the limit, the noise.

  It trains first, since what divides by second moments, as Adam does, has no
  limit before, and follows the sharpness meanwhile. Ends with 0; 1 where the
  training's loss or the curvature is not finite; 2 for a bad call or task; 130
  after Ctrl-C, with what was finished in --out.
  """
  report = _report.Report('stability', out)
  done: list[str] = []
  report.finished = lambda: f'{len(done)} parts were finished'
  with report.running(task):
    for option, check, value in (
        ('--steps', _checks.steps, steps),
        ('--rate', _checks.positive, rate),
        ('--batches', _checks.count, batches),
        ('--seed', _checks.seed, seed),
    ):
      check('stability', option, value)
    make = _probe.as_optimizer(optimizer, 'stability')
    loaded = tasks.load(task)
    key = jax.random.key(seed)
    training = _training.Training(loaded, make(rate), key, seed)
    method = _recognise.identify('stability', make, training.params)
    if method.adaptive and not steps:
      raise _checks.refuse(
          'stability', '--steps', f'at least 1 for {optimizer}', steps,
          'it divides by second moments, which there are none of before',
      )
    most = _most(loaded, batches)
    found = _curvature.Curvature(loaded.name, optimizer, steps, rate, method.adaptive)
    report.describe = found.to_dict
    with report.progress():
      if steps:
        for curve in _followed(training, method, found, most, report):
          found.curve = curve
          report.keep()
        done.append('training')
      for part, value in _parts(training, found, most, seed):
        report.move(part, 0, 1)
        setattr(found, part, value())
        done.append(part)
        report.keep()
        report.move(part, 1, 1)
      report.save(found, found.to_dict(), found.draw)
    title = f'{found.task}, {optimizer}, after {steps} updates'
    report.close(title, _curvature.COLUMNS, found.cells(), found.verdict)
    unknown = found.limit is None or math.isnan(found.limit.learning_rate)
    if unknown or found.lost is not None:
      raise SystemExit(1)


def _most(task: tasks.Task, batches: int) -> int | None:
  """At most so many batches of a pass; None where there are no more."""
  source = task.train
  if isinstance(source, tasks.Arrays) and source.batch_size is not None:
    return batches if source.examples > batches * source.batch_size else None
  return batches


def _followed(
    training: _training.Training, method: _recognise.Method,
    found: _curvature.Curvature, batches: int | None, report: _report.Report,
) -> Iterator[stability_.SharpnessCurve]:
  """Trains; the curve of the sharpness by then, again and again."""
  product, points = None, []
  inverse = jax.jit(method.inverse)
  # The tree of what it divides by is all that a measurement takes from the state.
  divided = method._replace(inverse=lambda tree: tree)
  edge = 2 * (1 + method.momentum) / (method.gain * found.learning_rate)
  steps = found.steps
  report.move('training', 0, steps)
  for end in sorted({-(-steps * i // _POINTS) for i in range(1, _POINTS + 1)}):
    training.go_on(end - training.steps)
    product = _hessian(training, batches, product)
    sharpness, error, _ = _preconditioned.sharpness(
        product, divided, inverse(training.opt_state), training.params,
        jax.random.key(0), _MOST, _ROUGH,
    )
    points.append((end, training.loss, float(sharpness), float(error), edge))
    at, losses, values, errors, limits = np.asarray(points).T
    report.move('training', end, steps, f'sharpness {float(sharpness):.4g}')
    yield stability_.SharpnessCurve(
        steps=at.astype(int), losses=losses, sharpness=values, errors=errors,
        limits=limits, learning_rate=found.learning_rate, method=method.name,
        optimizer=found.optimizer, task=found.task, params=training.params,
        state=training.state, opt_state=training.opt_state,
    )


def _hessian(
    training: _training.Training, batches: int | None, earlier: Any = None
) -> Any:
  """The product with the Hessian where the training is."""
  if not isinstance(earlier, Partial):
    return stability_.task_product(
        training.task, training.params, training.state, batches=batches
    )
  # The same function of others: what was compiled serves again.
  return Partial(earlier.func, training.params, training.state, *earlier.args[2:])


def _parts(
    training: _training.Training, found: _curvature.Curvature, batches: int | None,
    seed: int,
) -> Iterator[tuple[str, Any]]:
  """What is found out at the end of the training, by name: how to."""
  params, state, task = training.params, training.state, training.task
  keys = jax.random.split(jax.random.key(seed), 3)
  product = _hessian(training, batches)
  size = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
  yield 'limit', lambda: stability_.max_stable_learning_rate(
      task, params, found.optimizer, state, training.opt_state, batches=batches,
      steps=_MOST,
  )
  yield 'eigenvalues', lambda: stability_.lanczos(
      product, params, keys[0], steps=_MOST, count=min(_EXTREMES, -(-size // 2)),
      which='both', rtol=1e-3,
  )
  yield 'density', lambda: stability_.spectral_density(
      product, params, keys[1], probes=_PROBES, steps=_EACH
  )
  yield 'trace', lambda: stability_.hutchinson_trace(
      product, params, keys[2], samples=_SAMPLES
  )
  yield 'noise', lambda: _noise(training, seed)
  yield 'advice', lambda: _advice(task, found.noise)


def _noise(
    training: _training.Training, seed: int
) -> stability_.NoiseScale | str:
  """The noise scale, or why there is none: not every task has enough batches."""
  try:
    return stability_.noise_scale(
        training.task, training.params, training.state, seed=seed
    )
  except ValueError as error:
    return f'No noise scale: {error}'


def _advice(task: tasks.Task, noise: Any) -> Any:
  if not isinstance(noise, stability_.NoiseScale) or not noise.told:
    return None
  size = getattr(task.train, 'batch_size', noise.batch_size)
  return stability_.advise_batch_size(noise, size)
