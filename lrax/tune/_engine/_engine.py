"""Trains trials: one after another or side by side, over devices and processes.

* `map`: a trial alone on a device, as many at once as there are cores. A run that
  diverges ends at once, and the next begins.
* `vmap`: trials side by side in lanes. A lane whose run has ended gets the next
  trial between two rungs; when none is left and time can be won by it, the lanes
  that still run are gathered.

Both are the same program over groups of lanes, of one lane a device in `map`. A
group is cut over all local devices; processes take every n-th trial.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import os
import threading
import time
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from lrax import tasks
from lrax.tune._engine import _trial
from lrax.tune._engine._feed import Feed
from lrax.tune._engine._trial import Runs
from lrax.tune._engine._trial import Trials

ENGINES = ('auto', 'map', 'vmap')

_HEARD = 1.0  # seconds after which Ctrl-C is heard
_FIRST = 64  # updates of the first call, when it is not known what one takes
# Of what runs once in a trial: at twice the compiler's time nothing got faster.
_QUICK = {'xla_backend_optimization_level': 1}
_RUNGS = 8  # calls of the program that a run takes side by side
_LANES = 64  # at most on a device whose memory is not known
_MEMORY = 0.8  # share of a device's free memory that lanes may take

# When a group computes the validation losses of its lanes.
NEVER, ENDED, ALWAYS = 0, 1, 2

OnEnd = Callable[[int, Runs], None]


class Group:
  """Lanes that advance together: their trials, and where these stand."""

  def __init__(self, trials: Trials, lanes: np.ndarray, steps: int, carry: Any):
    self.lanes = lanes  # the number of each lane's trial; -1 where there is none
    self.carry = carry
    self.new = lanes >= 0  # lanes that begin at the next call
    self.losses = np.full(len(lanes), np.nan)  # validation, where it was asked for
    self.refresh(trials, steps)

  def refresh(self, trials: Trials, steps: int) -> None:
    """Takes what the lanes' trials say."""
    self.rows = _trial.on_device(trials.take(self.lanes, steps))


class Engine:
  """A task with an optimizer, compiled once for any rates, seeds and numbers."""

  def __init__(
      self, task: tasks.Task, optimizer: _trial.Optimizer, steps: int,
      engine: str = 'auto', lanes: int | None = None, validates: bool = True,
  ):
    """Compiles nothing yet.

    Args:
      task: what to train.
      optimizer: makes the optimizer of a rate and of numbers by name.
      steps: updates of the longest trial.
      engine: 'map', 'vmap', or 'auto': side by side on an accelerator.
      lanes: trials side by side on a device; None for what fits.
      validates: whether any run will be validated.
    """
    self.task, self.steps = task, steps
    if engine == 'auto':
      engine = 'map' if jax.default_backend() == 'cpu' else 'vmap'
    self.engine = engine
    self.updates = 0  # of all runs of this process so far
    self._lanes = lanes
    self._validates = validates
    self._program = _trial.Program(task, optimizer)
    self._devices = jax.local_devices()
    self._mesh = jax.sharding.Mesh(np.asarray(self._devices), ('trials',))
    whole = jax.sharding.NamedSharding(self._mesh, jax.sharding.PartitionSpec())
    arrays = lambda source: jax.tree.map(
        lambda x: jax.device_put(jnp.asarray(x), whole), getattr(source, 'data', ())
    )
    # An argument of every program, not part of it.
    self._data = (arrays(task.train), arrays(task.validation))
    self._begin: dict[int, Any] = {}
    self._train: dict[tuple[int, int | None], Any] = {}
    self._compile_seconds = 0.0
    self._short = _FIRST
    self._lane: Any = None
    self._keys: list[Any] = []  # of the leaves of a lane
    self._lock = threading.Lock()
    self._evaluate = self._cut(self._trace_evaluate, (True, False))
    self.workers = max(1, _cores() // len(self._devices))

  # --- whole runs

  def run(
      self, trials: Trials, on_end: OnEnd | None = None, validate: bool = True
  ) -> Runs:
    """Trains every trial to its end, and validates those that came there.

    Over several processes each trains a share, and all return all runs.

    Args:
      trials: what to train.
      on_end: called in this thread with the number of a trial and its `Runs` of
        length 1, as it ends.
      validate: whether to compute validation losses.
    """
    when = ENDED if validate else NEVER
    count, processes = len(trials.seeds), jax.process_count()
    if processes == 1:
      return self._run_here(trials, when, on_end)
    # Some trials twice, so that all shares are of one length.
    share = -(-count // processes)
    mine = np.arange(share) * processes + jax.process_index()
    mine = np.minimum(mine, count - 1)
    told = on_end and (lambda i, runs: on_end(int(mine[i]), runs))
    runs = self._run_here(trials.take(mine, self.steps), when, told)
    gathered = multihost_utils.process_allgather(runs)
    merge = lambda x: np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])[:count]
    return jax.tree.map(merge, gathered)

  def _run_here(self, trials: Trials, when: int, on_end: OnEnd | None) -> Runs:
    self.check_validation(trials, when)
    runs = Runs.none(len(trials.seeds), self.steps)

    def record(group: Group, ended: np.ndarray) -> None:
      for place in self.record(runs, group, ended, when):
        if on_end is not None:
          on_end(place, Runs(*(x[place : place + 1] for x in runs)))

    if self._program.streams:
      self._run_streams(trials, when, record)
    elif self.engine == 'vmap':
      self._run_lanes(trials, when, record)
    else:
      self._run_alone(trials, when, record)
    return runs

  def _run_alone(self, trials: Trials, when: int, record: Any) -> None:
    """A lane a device, and as many groups at once as there are workers."""
    groups = self.lanes_of(np.arange(len(trials.seeds)), len(self._devices))

    def train(lanes: np.ndarray, stopped: threading.Event) -> Group:
      group = self.group(trials, lanes)
      done = 0
      while done < self.steps and not stopped.is_set():
        rung, began = self._short, time.perf_counter()
        done = min(done + rung, self.steps)
        self.advance(group, done, when)
        # So long that a call costs little, so short that Ctrl-C is soon heard.
        seconds = time.perf_counter() - began
        self._short = int(np.clip(rung * _HEARD / seconds, _FIRST, self.steps))
        if self._ended(group).all():
          break
      return group

    for group in self.parallel(train, groups):
      record(group, group.lanes >= 0)

  def _run_lanes(self, trials: Trials, when: int, record: Any) -> None:
    """Trials side by side, a new one wherever one has ended."""
    count = len(trials.seeds)
    rung = -(-self.steps // _RUNGS)
    width = self.width(trials, count)
    waiting = list(range(width, count))
    group = self.group(trials, self.lanes_of(np.arange(min(width, count)), width)[0])
    while (group.lanes >= 0).any():
      began = time.perf_counter()
      self.advance(group, rung, when, by=True)
      seconds = time.perf_counter() - began
      ended = (group.lanes >= 0) & self._ended(group)
      record(group, ended)
      group.lanes[ended] = -1
      free = np.flatnonzero(group.lanes < 0)[: len(waiting)]
      group.lanes[free], waiting = waiting[: len(free)], waiting[len(free) :]
      group.new[free] = True
      group.refresh(trials, self.steps)
      if not waiting:
        group = self._gathered(trials, group, seconds)

  def _gathered(self, trials: Trials, group: Group, seconds: float) -> Group:
    """The lanes that still run, if half the time left is more than compiling takes."""
    running = np.flatnonzero(group.lanes >= 0)
    half = self._whole_number(len(group.lanes) // 2)
    if not 0 < len(running) <= half < len(group.lanes):
      return group
    least = int(np.asarray(group.carry.step)[running].min())
    rest = seconds * (self.steps - least) * _RUNGS / self.steps
    if (half, None) not in self._train and rest / 2 < self._compile_seconds:
      return group
    left = group.lanes[running].tolist()
    return self.regroup(trials, [group], left, left, half)[0]

  def _run_streams(self, trials: Trials, when: int, record: Any) -> None:
    """Trials of one seed on the batches of one iterator, each read once."""
    rates = trials.take(np.arange(len(trials.seeds)), self.steps).rates
    ends = np.where(np.isnan(rates).any(1), np.isnan(rates).argmax(1), self.steps)
    for alike, feed in self.shared(trials, np.arange(len(ends))):
      groups = self.groups(trials, alike)
      assert feed is not None
      for batches, start, end in feed.stacks(0, int(ends[alike].max())):
        self.advance_all(groups, end, when, batches, start)
        for group in groups:
          ended = (group.lanes >= 0) & self._ended(group)
          record(group, ended)
          group.lanes = np.where(ended, -1, group.lanes)
        if all((group.lanes < 0).all() for group in groups):
          break

  def shared(
      self, trials: Trials, places: np.ndarray
  ) -> Iterator[tuple[np.ndarray, Feed | None]]:
    """Trials that train together: those of one seed of a stream, else all."""
    if not self._program.streams:
      yield places, None
      return
    seeds = np.asarray(trials.seeds)[places]
    most = self.width(trials, len(places)) if self.engine == 'vmap' else _LANES
    for seed in dict.fromkeys(seeds.tolist()):
      alike = places[seeds == seed]
      for start in range(0, len(alike), most):
        stream = self.task.train
        assert isinstance(stream, tasks.Stream)
        yield alike[start : start + most], Feed(stream, seed, self.steps)

  # --- groups of lanes

  def lanes_of(self, places: np.ndarray, width: int) -> list[np.ndarray]:
    """The trials in groups of one width, the last filled up with -1."""
    starts = range(0, len(places), width)
    filled = np.full((len(starts), width), -1)
    filled.reshape(-1)[: len(places)] = places
    return list(filled)

  def group(self, trials: Trials, lanes: np.ndarray) -> Group:
    """Lanes that have not begun."""
    leaves, form = jax.tree.flatten(self._shapes(trials))
    blank = [_blank(len(lanes), *leaf) for leaf in zip(leaves, self._keys)]
    return Group(trials, lanes, self.steps, jax.tree.unflatten(form, blank))

  def _shapes(self, trials: Trials) -> Any:
    """The shapes and dtypes of one lane."""
    with self._lock:
      if self._lane is None:
        rows = _trial.on_device(trials.take([0], self.steps))
        struct = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)

        def begin(row: Any) -> Any:
          carry = self._program.begin(row)
          self._keys = [_kind_of_key(leaf) for leaf in jax.tree.leaves(carry)]
          return carry

        self._lane = jax.eval_shape(begin, jax.tree.map(struct, rows))
      return self._lane

  def groups(self, trials: Trials, places: np.ndarray) -> list[Group]:
    """All of some trials at once, in as few groups as the engine allows."""
    width = self.width(trials, len(places))
    return [self.group(trials, lanes) for lanes in self.lanes_of(places, width)]

  def regroup(
      self, trials: Trials, groups: list[Group], places: Sequence[int],
      sources: Sequence[int], width: int,
  ) -> list[Group]:
    """Groups of some of the trials, each where its source stands."""
    lanes = np.concatenate([group.lanes for group in groups])
    stacked = jax.tree.map(
        lambda *x: jnp.concatenate(x), *[group.carry for group in groups]
    )
    row_of = {int(lane): row for row, lane in enumerate(lanes) if lane >= 0}
    made = []
    for some, origin in zip(
        self.lanes_of(np.asarray(places), width),
        self.lanes_of(np.asarray(sources), width),
    ):
      rows = jnp.asarray([0 if o < 0 else row_of[int(o)] for o in origin])
      carry = jax.tree.map(lambda x: x[rows], stacked)  # noqa: B023
      group = Group(trials, some, self.steps, self._cut_rows(carry))
      group.new[:] = False
      made.append(group)
    return made

  def _cut_rows(self, carry: Any) -> Any:
    """The rows as the program takes them, some on each device."""
    if len(self._devices) == 1:
      return carry
    spec = jax.sharding.PartitionSpec('trials')
    return jax.device_put(carry, jax.sharding.NamedSharding(self._mesh, spec))

  def advance_all(self, groups: list[Group], until: int, *arguments: Any) -> None:
    """`advance` for several groups at once."""
    advance = lambda group, stopped: self.advance(group, until, *arguments)
    for _ in self.parallel(advance, groups):
      pass

  def parallel(
      self, function: Callable[[Any, threading.Event], Any], items: Sequence[Any]
  ) -> Any:
    """What a function gives for each of some items, as each is done.

    It is told too of an event that is set where the others are wanted no more.
    """
    stopped = threading.Event()
    pool = futures.ThreadPoolExecutor(self.workers)
    # Not all at once: what is done is taken before more of it is made.
    waiting, running = list(items)[::-1], set()
    try:
      while waiting or running:
        while waiting and len(running) < 2 * self.workers:
          running.add(pool.submit(function, waiting.pop(), stopped))
        done, running = futures.wait(running, return_when=futures.FIRST_COMPLETED)
        for one in done:
          yield one.result()
    finally:
      stopped.set()
      pool.shutdown(cancel_futures=True)

  def advance(
      self, group: Group, until: int, when: int = NEVER, batches: Any = None,
      first: int = 0, by: bool = False,
  ) -> None:
    """Trains a group up to a step, or `by` so many; judges it `when` asked."""
    steps = np.full(len(group.lanes), until)
    if by:
      steps += np.where(group.new, 0, np.asarray(group.carry.step))
    begin, train = self._programs_of(group, batches)
    if group.new.any():
      group.carry = begin(group.carry, group.rows, group.new)
      # Another array: the program may still read that one.
      group.new = np.zeros(len(group.lanes), bool)
    carry, losses = train(*self._arguments(group, steps, when, batches, first))
    group.carry = carry
    group.losses = np.asarray(losses)  # waits for it
    if when != NEVER and self._program.streams_validation:
      if when == ALWAYS or self._ended(group).any():
        group.losses = self._streamed_validation(group)

  def record(
      self, runs: Runs, group: Group, ended: np.ndarray, when: int = ENDED
  ) -> list[int]:
    """Writes down the runs of some lanes; returns the numbers of their trials."""
    if not ended.any():
      return []
    steps, losses = np.asarray(group.carry.step), np.asarray(group.carry.losses)
    gone = np.asarray(group.carry.watch.diverged)
    places = []
    for lane in np.flatnonzero(ended):
      place = int(group.lanes[lane])
      runs.losses[place] = losses[lane]
      runs.steps_done[place] = steps[lane]
      loss = np.nan if gone[lane] else group.losses[lane]
      runs.validation_loss[place] = loss if np.isfinite(loss) else np.nan
      runs.diverged[place] = gone[lane] or (when != NEVER and not np.isfinite(loss))
      self.updates += int(steps[lane])
      places.append(place)
    return places

  def _ended(self, group: Group) -> np.ndarray:
    """Whether the run of each lane is over; true where there is none."""
    step = np.asarray(group.carry.step)
    rates = np.asarray(group.rows.rates)
    here = rates[np.arange(len(step)), np.minimum(step, self.steps - 1)]
    gone = np.asarray(group.carry.watch.diverged)
    return (group.lanes < 0) | (step >= self.steps) | np.isnan(here) | gone

  # --- how many lanes

  def width(self, trials: Trials, count: int) -> int:
    """How many lanes a group has at most, over all devices."""
    devices = len(self._devices)
    if self.engine == 'map':
      return devices
    # What a stack of batches takes is not known before it is read.
    known = self._free() is not None and not self._program.streams
    if self._lanes or not known:
      return self._whole_number(min((self._lanes or _LANES) * devices, count))
    return self._fitting(trials, self._whole_number(count))

  def _whole_number(self, lanes: int) -> int:
    """At least so many lanes, as many on each device."""
    devices = len(self._devices)
    return max(1, -(-lanes // devices)) * devices

  def _fitting(self, trials: Trials, width: int) -> int:
    """At most so many lanes as the devices have memory for."""
    while (free := self._free()) is not None and width > len(self._devices):
      group = self.group(trials, np.zeros(width, int))
      _, train = self._programs_of(group, None)
      used: Any = train.memory_analysis()  # of one device
      needed = used.temp_size_in_bytes + used.argument_size_in_bytes
      needed += used.output_size_in_bytes - used.alias_size_in_bytes
      if needed <= _MEMORY * free:
        break
      width = self._whole_number(min(width // 2, int(width * _MEMORY * free / needed)))
    return width

  def _free(self) -> int | None:
    """Bytes of a device that are free, where it tells."""
    told = self._devices[0].memory_stats() or {}
    if 'bytes_limit' not in told:
      return None
    return told['bytes_limit'] - told.get('bytes_in_use', 0)

  # --- validation from the host

  def check_validation(self, trials: Trials, when: int) -> None:
    """Traces it, so that what is wrong with it shows before training."""
    if when == NEVER or not self._program.streams_validation:
      return
    for batch in self.task.validation.once():
      jax.eval_shape(self._program.evaluate, self._shapes(trials), batch)
      return
    raise _no_batches(self.task)

  def _streamed_validation(self, group: Group) -> np.ndarray:
    total, weight = 0.0, 0
    for batch in self.task.validation.once():
      rows = _length(batch)
      losses = np.asarray(self._evaluate(group.carry, batch), np.float64)
      total, weight = total + losses * rows, weight + rows
    if not weight:
      raise _no_batches(self.task)
    return np.asarray(total / weight)

  def _trace_evaluate(self, carry: Any, batch: Any) -> jax.Array:
    return _over(lambda carry: self._program.evaluate(carry, batch), carry)

  # --- the program

  def _arguments(
      self, group: Group, until: Any, when: int, batches: Any, first: int
  ) -> tuple[Any, ...]:
    steps = np.broadcast_to(np.int32(until), group.lanes.shape)
    return (
        group.carry, group.rows, steps, np.int32(when), np.int32(first), self._data,
        batches,
    )

  def _programs_of(self, group: Group, batches: Any) -> tuple[Any, Any]:
    """The compiled (begin, train), of which there is one pair for each width.

    Two programs, so that they compile side by side, and what runs once in a trial
    costs little of the compiler's time: random numbers are much to optimise.
    """
    width = len(group.lanes)
    chunk = None if batches is None else len(jax.tree.leaves(batches)[0])
    with self._lock, futures.ThreadPoolExecutor(1) as beside:
      began = time.perf_counter()
      begin = None
      if width not in self._begin:
        program = self._cut(self._trace_begin, (True,) * 3, donate_argnums=0)
        lowered = program.lower(group.carry, group.rows, group.new)
        options = _QUICK if jax.default_backend() == 'cpu' else {}
        begin = beside.submit(lowered.compile, options)
      if (width, chunk) not in self._train:
        rows = (True, True, True, False, False, False, False)
        program = self._cut(self._trace, rows, donate_argnums=0)
        lowered = program.lower(*self._arguments(group, 0, NEVER, batches, 0))
        self._train[width, chunk] = lowered.compile()
        self._compile_seconds = time.perf_counter() - began
      if begin is not None:
        self._begin[width] = begin.result()
      return self._begin[width], self._train[width, chunk]

  def _cut(self, function: Any, rows: tuple[bool, ...], **options: Any) -> Any:
    """`function` with those arguments that have rows cut over the devices."""
    if len(self._devices) == 1:
      return jax.jit(function, **options)
    cut, whole = jax.sharding.PartitionSpec('trials'), jax.sharding.PartitionSpec()
    specs = tuple(cut if row else whole for row in rows)
    sharded = jax.shard_map(
        function, mesh=self._mesh, in_specs=specs, out_specs=cut, check_vma=False
    )
    places = tuple(jax.sharding.NamedSharding(self._mesh, spec) for spec in specs)
    return jax.jit(sharded, in_shardings=places, **options)

  def _trace_begin(self, carry: Any, rows: Any, new: Any) -> Any:
    """The lanes of one device, the new ones before their first update."""
    begun = _over(self._program.begin, rows)
    if len(new) == 1:
      return begun
    return jax.tree.map(
        lambda x, y: jnp.where(new.reshape(-1, *[1] * (x.ndim - 1)), x, y),
        begun, carry,
    )

  def _trace(
      self, carry: Any, rows: Any, until: Any, when: Any, first: Any, data: Any,
      batches: Any,
  ) -> tuple[Any, jax.Array]:
    """Advances the lanes of one device, and judges them when asked."""
    one = self._program
    carry = _over(
        lambda carry, row, until: one.advance(
            carry, row, until, data[0], batches, first
        ),
        carry, rows, until,
    )
    nan = jnp.full(until.shape, jnp.nan, carry.losses.dtype)
    if one.streams_validation or not self._validates:
      return carry, nan
    ended = _over(one.ended, carry, rows) & ~carry.watch.diverged & (carry.step > 0)
    validate = lambda: _over(lambda c: one.validate(c, data[1]), carry)
    judged = (when == ALWAYS) | (when == ENDED) & ended.any()
    losses = jax.lax.cond(judged, lambda: validate().astype(nan.dtype), lambda: nan)
    return carry, losses


def _over(function: Any, *rows: Any) -> Any:
  """`function` over the first axis; a single row stays free of `vmap`.

  So that what a run does not take, `lax.cond` leaves out, and loops end with it.
  """
  if len(jax.tree.leaves(rows)[0]) > 1:
    return jax.vmap(function)(*rows)
  alone = jax.tree.map(lambda x: x[0], rows)
  return jax.tree.map(lambda x: x[None], function(*alone))


def _kind_of_key(leaf: jax.Array) -> Any:
  """The generator that a leaf is a key of, if it is one."""
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return jax.random.key_impl(leaf) if is_key else None


def _blank(width: int, shape: Any, kind: Any) -> Any:
  """An array that a call overwrites, made without compiling anything."""
  if kind is None:
    return np.zeros((width, *shape.shape), shape.dtype)
  data = jax.eval_shape(jax.random.key_data, shape)
  zeros: Any = np.zeros((width, *data.shape), data.dtype)
  return jax.random.wrap_key_data(zeros, impl=kind)


def _cores() -> int:
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # not on this system
    return os.cpu_count() or 1


def _length(batch: Any) -> int:
  leaves = jax.tree.leaves(batch)
  return np.shape(leaves[0])[0] if leaves and np.ndim(leaves[0]) else 1


def _no_batches(task: tasks.Task) -> ValueError:
  return ValueError(
      f'{task.name}: `validation` must give at least one batch, got none; a rate'
      ' cannot be judged without.'
  )
