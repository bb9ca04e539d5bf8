"""`Arrays`, `Drawn` and `Stream`: what a run is given to train on, and when."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Drawn
from lrax.tasks import Stream

EXAMPLES, SIZE = 23, 4
WHOLE = EXAMPLES // SIZE  # batches in an epoch; three examples are left out


@functools.cache
def rows(count=EXAMPLES, size=SIZE):
  """Examples that carry their own number, in two arrays of different rank."""
  number = np.arange(count, dtype=np.int32)
  return Arrays((number, np.stack([number, -number], 1)), batch_size=size)


@functools.cache
def compiled(source):
  return jax.jit(source.start), jax.jit(source.next)


def drawn(source, seed, batches):
  """The numbers of the examples in the first batches, (batches, size)."""
  start, following = compiled(source)
  position, taken = start(jax.random.key(seed)), []
  for _ in range(batches):
    (number, pair), position = following(source.data, position)
    np.testing.assert_array_equal(pair[:, 0], number)  # rows stay together
    np.testing.assert_array_equal(pair[:, 1], -number)
    taken.append(np.asarray(number))
  return np.stack(taken)


@pytest.mark.parametrize('size', [1, 4, 24])
def test_every_example_comes_exactly_once_in_an_epoch(size):
  source = rows(24, size)
  epochs = drawn(source, 0, 3 * 24 // size).reshape(3, 24)
  for epoch in epochs:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(24))


def test_each_epoch_has_an_order_of_its_own():
  epochs = drawn(rows(24, 4), 0, 5 * 6).reshape(5, 24)
  for one, other in itertools.combinations(epochs, 2):
    # Two of 24! orders are equal by chance once in 6e23.
    assert (one != other).any()
  assert (epochs[0] != np.arange(24)).any()


def test_what_does_not_fill_a_batch_is_left_out_of_that_epoch_only():
  epochs = drawn(rows(), 0, 40 * WHOLE).reshape(40, WHOLE * SIZE)
  for epoch in epochs:
    assert len(set(epoch.tolist())) == WHOLE * SIZE  # none comes twice
  # An example is left out of all 40 epochs with a chance of (3/23) ** 40.
  assert set(epochs.ravel().tolist()) == set(range(EXAMPLES))


def test_a_batch_of_more_than_half_the_examples_starts_an_epoch_each_time():
  batches = drawn(rows(10, 6), 0, 8)
  for batch in batches:
    assert len(set(batch.tolist())) == 6
  # Each is drawn from all ten, so eight equal ones do not happen.
  assert len({tuple(batch.tolist()) for batch in batches}) == 8


def test_one_key_gives_the_same_batches_and_another_gives_others():
  source = rows()
  first = drawn(source, 0, 2 * WHOLE)
  np.testing.assert_array_equal(first, drawn(source, 0, 2 * WHOLE))
  assert (first != drawn(source, 1, 2 * WHOLE)).any()


def test_no_batch_size_takes_all_of_them():
  source = Arrays(np.arange(7.0))
  assert source.batch_size == 7
  start, following = compiled(source)
  batch, _ = following(source.data, start(jax.random.key(3)))
  np.testing.assert_array_equal(np.sort(batch), np.arange(7.0))


def test_batches_inside_jit_and_scan_are_those_of_single_calls():
  source = rows()

  @jax.jit
  def scanned(data, key):
    def one(position, _):
      (number, _), position = source.next(data, position)
      return position, number

    return jax.lax.scan(one, source.start(key), None, 3 * WHOLE)[1]

  np.testing.assert_array_equal(
      scanned(source.data, jax.random.key(5)), drawn(source, 5, 3 * WHOLE)
  )


def test_batches_under_vmap_are_those_of_each_key():
  source = rows()

  def first_epochs(key):
    def one(position, _):
      (number, _), position = source.next(source.data, position)
      return position, number

    return jax.lax.scan(one, source.start(key), None, 2 * WHOLE)[1]

  keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
  both = jax.jit(jax.vmap(first_epochs))(keys)
  np.testing.assert_array_equal(both[0], drawn(source, 0, 2 * WHOLE))
  np.testing.assert_array_equal(both[1], drawn(source, 1, 2 * WHOLE))


def test_arrays_keep_their_dtype_and_may_be_of_jax():
  pixels, labels = jnp.ones((6, 2), jnp.bfloat16), np.arange(6, dtype=np.int8)
  source = Arrays({'pixels': pixels, 'label': labels}, batch_size=3)
  start, following = compiled(source)
  batch, _ = following(source.data, start(jax.random.key(0)))
  assert batch['pixels'].dtype == jnp.bfloat16
  assert batch['label'].dtype == jnp.int8
  assert batch['pixels'].shape == (3, 2)


def test_once_gives_all_in_order_and_a_smaller_last_batch():
  batches = list(rows().once())
  assert [len(number) for number, _ in batches] == [4, 4, 4, 4, 4, 3]
  numbers = np.concatenate([number for number, _ in batches])
  np.testing.assert_array_equal(numbers, np.arange(EXAMPLES))


def test_once_weighs_every_example_alike_in_a_validation_loss():
  """Ten examples in batches of four: the last two do not count double."""
  values = np.array([0, 0, 0, 0, 0, 0, 0, 0, 10, 10], np.float32)
  task = lrax.tasks.Task(
      init=lambda key: jnp.zeros(()),
      loss=lambda params, batch, key: params * jnp.mean(batch),
      evaluate=lambda params, batch: jnp.mean(batch),
      train=Arrays(values),
      validation=Arrays(values, batch_size=4),
      steps=2,
  )
  found = lrax.tune.find(task, 'sgd', steps=2, seeds=1)
  # 20/10, where the mean of the batches' means is 10/3.
  assert {row.validation_loss for row in found.rows} == {2.0}


@pytest.mark.parametrize(
    'data, size, error, says',
    [
        ((), None, TypeError, 'first axis of examples'),
        ({'x': np.float32(1.0)}, None, TypeError, 'first axis of examples'),
        ((np.ones(3), 2.0), 1, TypeError, 'first axis of examples'),
        ((np.ones(3), np.ones(4)), 1, ValueError, r'\[3, 4\]'),
        (np.ones((0, 2)), None, ValueError, r'\[0\]'),
        (np.ones(3), 4, ValueError, 'at most the 3 examples, got 4'),
        (np.ones(3), 0, ValueError, 'batch_size'),
        (np.ones(3), -1, ValueError, 'batch_size'),
        (np.ones(3), 1.5, ValueError, 'batch_size'),
        (np.ones(3), '2', TypeError, 'batch_size'),
        (np.ones(3), True, TypeError, 'batch_size'),
    ],
)
def test_arrays_refuse_what_makes_no_batches(data, size, error, says):
  with pytest.raises(error, match=says) as caught:
    Arrays(data, batch_size=size)
  assert str(caught.value).startswith('Arrays: `')


def test_drawn_gives_a_new_key_each_time_and_the_same_for_one_seed():
  source = Drawn(lambda key: jax.random.key_data(key))

  def keys(seed):
    position, taken = source.start(jax.random.key(seed)), []
    for _ in range(20):
      key, position = compiled(source)[1](source.data, position)
      taken.append(tuple(np.asarray(key).tolist()))
    return taken

  first = keys(0)
  assert len(set(first)) == 20
  assert keys(0) == first
  # 64-bit keys: two runs do not meet by chance.
  assert not set(keys(1)) & set(first)


def test_drawn_inside_scan_gives_what_single_calls_give():
  source = Drawn(lambda key: jax.random.bits(key, (3,)))
  key = jax.random.key(0)

  def one(position, _):
    batch, position = source.next(source.data, position)
    return position, batch

  scanned = jax.lax.scan(one, source.start(key), None, 3)[1]
  position = source.start(key)
  for batch in scanned:
    alone, position = source.next(source.data, position)
    np.testing.assert_array_equal(batch, alone)


def test_drawn_validates_on_the_same_batches_every_time():
  source = Drawn(lambda key: jax.random.bits(key, (2,)), batches=3)
  first = np.stack(list(source.once()))
  assert first.shape == (3, 2)
  assert len(np.unique(first, axis=0)) == 3
  np.testing.assert_array_equal(np.stack(list(source.once())), first)


def test_drawn_refuses_what_is_no_function_and_no_count():
  with pytest.raises(TypeError, match='Drawn: `draw` must be a function of a key'):
    Drawn(np.ones(3))
  with pytest.raises(ValueError, match='Drawn: `batches`'):
    Drawn(lambda key: key, batches=0)


class Pulled:
  """An iterator's batches, and how many were taken from it."""

  def __init__(self, batches):
    self.batches, self.count, self.seeds = batches, 0, []

  def __call__(self, seed):
    self.seeds.append(seed)
    for batch in self.batches:
      self.count += 1
      yield batch


def test_stream_starts_another_pass_where_one_ends():
  pulled = Pulled([np.full(2, value) for value in (1.0, 2.0, 3.0)])
  batches = list(itertools.islice(Stream(pulled).forever(7), 8))
  np.testing.assert_array_equal([b[0] for b in batches], [1, 2, 3, 1, 2, 3, 1, 2])
  assert pulled.seeds == [7, 7, 7]
  assert pulled.count == 8  # it is lazy: nothing is taken ahead


def test_stream_once_is_one_pass_of_seed_0():
  pulled = Pulled([np.ones(2)] * 3)
  assert len(list(Stream(pulled).once())) == 3
  assert pulled.seeds == [0]


def test_stream_takes_a_list_of_batches_too():
  stream = Stream(lambda seed: [np.full(1, seed), np.full(1, seed + 1)])
  assert [int(b[0]) for b in itertools.islice(stream.forever(4), 3)] == [4, 5, 4]


def test_stream_limit_ends_a_pass():
  endless = lambda seed: (np.full(1, i) for i in itertools.count())
  assert [int(b[0]) for b in Stream(endless, limit=2).once()] == [0, 1]
  passes = itertools.islice(Stream(endless, limit=2).forever(0), 5)
  assert [int(b[0]) for b in passes] == [0, 1, 0, 1, 0]


def test_stream_limit_takes_no_batch_that_it_does_not_give():
  """A batch may cost a second to read; one past the limit is never asked for."""
  pulled = Pulled([np.ones(1)] * 10)
  assert len(list(Stream(pulled, limit=2).once())) == 2
  assert pulled.count == 2


def test_stream_limit_above_the_pass_changes_nothing():
  assert len(list(Stream(Pulled([np.ones(1)] * 3), limit=5).once())) == 3


def test_stream_refuses_an_iterator_without_batches():
  with pytest.raises(ValueError, match=r'Stream: .*at least one batch.*batches\(3\)'):
    next(Stream(lambda seed: iter(())).forever(3))


def test_stream_refuses_an_iterator_that_ended_for_good():
  """One generator object cannot start again: it says so and does not hang."""
  generator = iter([np.ones(2), np.ones(2)])
  stream = Stream(lambda seed: generator).forever(0)
  assert len([next(stream), next(stream)]) == 2
  with pytest.raises(ValueError, match='Stream: .*at least one batch'):
    next(stream)


@pytest.mark.parametrize(
    'second',
    [
        (np.ones((3, 2), np.float32), np.ones(3, np.int32)),
        (np.ones((4, 2), np.float16), np.ones(4, np.int32)),
        (np.ones((4, 2), np.float32),),
        {'x': np.ones((4, 2), np.float32), 'y': np.ones(4, np.int32)},
    ],
    ids=['shape', 'dtype', 'fewer', 'structure'],
)
def test_stream_refuses_batches_that_change(second):
  first = (np.ones((4, 2), np.float32), np.ones(4, np.int32))
  stream = Stream(lambda seed: [first, first, second]).forever(0)
  next(stream)
  next(stream)
  with pytest.raises(ValueError, match='Stream: `batches` must be of one shape') as e:
    next(stream)
  assert 'leave out a last batch that is smaller' in str(e.value)


def test_stream_takes_batches_of_jax_too():
  """Of bfloat16, which NumPy does not have of its own, among others."""
  batch = (jnp.ones((2, 3), jnp.bfloat16), jnp.arange(2))
  stream = Stream(lambda seed: [batch, batch]).forever(0)
  for _ in range(3):
    first, second = next(stream)
    assert (first.dtype, second.dtype) == (jnp.bfloat16, jnp.int32)
  narrow = (jnp.ones((2, 3), jnp.float32), jnp.arange(2))
  stream = Stream(lambda seed: [batch, narrow]).forever(0)
  next(stream)
  with pytest.raises(ValueError, match='of one shape and dtype'):
    next(stream)


def test_stream_lets_a_smaller_last_batch_pass_where_it_only_validates():
  batches = [np.ones(4), np.ones(4), np.ones(1)]
  assert [len(b) for b in Stream(lambda seed: batches).once()] == [4, 4, 1]


def test_stream_refuses_what_is_no_function_and_no_limit():
  with pytest.raises(TypeError, match='Stream: `batches` must be a function'):
    Stream([np.ones(3)])
  with pytest.raises(ValueError, match='Stream: `limit`'):
    Stream(lambda seed: [], limit=0)
  with pytest.raises(TypeError, match='Stream: `limit`'):
    Stream(lambda seed: [], limit='all')
