"""Averages kept in bfloat16 and in blocks of 8 bits: `mu_dtype` and `nu_dtype`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.transforms import _moments

# Two leaves that are cut into blocks, one of them with rows too short for one
# block, and one that is too small to be.
SHAPES = {'wide': (64, 128), 'deep': (4, 128, 10), 'small': (50,)}
# Both averages in each kind of storage.
KINDS = {
    'bfloat16': {'mu_dtype': jnp.bfloat16, 'nu_dtype': jnp.bfloat16},
    'block8': {'mu_dtype': 'block8', 'nu_dtype': 'block8'},
}
every_kind = pytest.mark.parametrize('kind', KINDS)
ADAMS = ['adam', 'adamw', 'nadam', 'nadamw', 'ademamix', 'mars']


def tree(seed, dtype=np.float32):
  rng = np.random.default_rng(seed)
  return {k: jnp.asarray(rng.normal(size=s), dtype) for k, s in SHAPES.items()}


def average_of(moment, values, decay, kept=None):
  """What is used after each value, and what is kept at the end, compiled."""
  kept = moment.zeros(values[0]) if kept is None else kept

  @jax.jit
  def step(kept, value, count):
    return moment.average(kept, decay, value, _moments.Noise(count))

  every = []
  for t, value in enumerate(values):
    used, kept = step(kept, value, jnp.int32(t))
    every.append(np.asarray(used))
  return np.stack(every), kept


def moment_of(dtype, squares=False):
  return _moments.Moment('a test', 'mu_dtype', dtype, squares)


# --- eight bits


def test_every_code_is_a_number_of_its_own_and_back():
  """Decoded and coded again, with any chance, each code is itself."""
  codes = jnp.arange(256, dtype=jnp.uint8)
  squares, numbers = _moments._square(codes), _moments._number(codes)
  assert (jnp.diff(squares) > 0).all()
  assert squares[0] == 2.0**-32 and squares[31 * 8] == 0.5
  assert (jnp.diff(numbers[:128]) > 0).all()
  np.testing.assert_array_equal(numbers[128:], -numbers[:128])
  assert numbers[0] == 0 and numbers[15 * 8] == 0.5 - 2.0**-16
  for bits in (0, 2**31, 2**32 - 1):
    noise = jnp.full(256, bits, jnp.uint32)
    again = _moments._square_code(squares, noise)
    assert (again == codes)[: 31 * 8].all()
    again = _moments._code(numbers, noise)
    np.testing.assert_array_equal(_moments._number(again), numbers)
    assert (again == codes)[codes != 0x80].all()  # -0 comes back as 0


@pytest.mark.parametrize('squares', [False, True])
def test_what_is_used_is_what_is_kept(squares):
  moment = moment_of('block8', squares)
  values = [tree(i)['wide'] for i in range(3)]
  used, kept = average_of(moment, values, 0.9)
  np.testing.assert_array_equal(used[-1], moment.read(kept))
  assert kept.codes.dtype == jnp.uint8 and kept.codes.shape == (64, 128)
  assert kept.bound.shape == (64, 1)
  # Rounded up by an eighth at most.
  assert (np.abs(used[-1]) <= 1.125 * np.asarray(kept.bound)).all()


@pytest.mark.parametrize('squares', [False, True])
def test_a_number_is_right_to_its_digits(squares):
  """One of eight parts of a power of two, up or down; of gradients after an offset."""
  value = jnp.exp(jax.random.uniform(jax.random.key(0), (64, 128), maxval=8.0))
  # Half of what is put into an average of nothing is kept.
  used, _ = average_of(moment_of('block8', squares), [value], 0.5)
  expected = (value**2 if squares else value) / 2
  # The unit of a row is up to 4 times its largest number.
  offset = 0 if squares else 4 * expected.max(1, keepdims=True) * 2.0**-16
  assert (np.abs(used[0] - expected) < 0.125 * (expected + offset)).all()


@pytest.mark.parametrize('shape, block', [
    ((64, 128), (64, 1)),
    ((4, 128, 10), (4, 1, 1)),
    ((3, 3, 64, 64), (3, 3, 64, 1)),
    ((8192,), (1,)),
    ((8192, 1), (1, 1)),
])
def test_a_block_is_trailing_axes(shape, block):
  """As few as hold 64, all where they do not."""
  kept = moment_of('block8').zeros(jnp.zeros(shape))
  assert kept.codes.shape == shape and kept.bound.shape == block


@pytest.mark.parametrize('dtype', ['block8', jnp.bfloat16])
@pytest.mark.parametrize('squares', [False, True])
def test_rounding_does_not_drift(dtype, squares):
  """A slow average comes to the mean of its values; nearest numbers never would.

  From 1/2 the value 1 adds a 2000th a step, of the 32nd, or the 512th, between two
  numbers.
  """
  if not squares and dtype != 'block8':
    pytest.skip('of gradients the nearest bfloat16 is kept, as Optax does')
  moment, steps = moment_of(dtype, squares), 1500
  half, one = jnp.full((64, 64), 0.5**0.5 if squares else 0.5), jnp.ones((64, 64))
  _, kept = average_of(moment, [half], 0.0)

  def step(kept, count):
    used, kept = moment.average(kept, 0.999, one, _moments.Noise(count))
    return kept, jnp.mean(used)

  _, means = jax.lax.scan(step, kept, jnp.arange(steps))
  expected = 1 - 0.5 * 0.999 ** np.arange(1, steps + 1)
  # Of 4096 numbers that each wander by up to a tenth.
  np.testing.assert_allclose(means, expected, atol=0.01)


def test_numbers_near_0_are_right_on_average():
  """There they are evenly spaced, by a 2**19th of the unit, which is 4 here.

  The unit of a block is 2 to 4 times its bound.
  """
  tiny = 2.0**-18
  value = jnp.full((64, 1024), tiny).at[:, 0].set(1.0)
  used, _ = average_of(moment_of('block8'), [value], 0.0)
  rest = used[0][:, 1:]
  assert set(np.unique(rest)) == {0.0, np.float32(2.0**-17)}
  # Of 65,000 draws, one of two each.
  np.testing.assert_allclose(rest.mean(), tiny, rtol=0.02)


def test_squares_below_the_least_are_not_0():
  """What they divide must not explode."""
  value = jnp.full((64, 128), 1e-20).at[:, 0].set(1.0)
  used, _ = average_of(moment_of('block8', squares=True), [value], 0.0)
  assert (used[0][:, 1:] == 2.0**-30).all()


@pytest.mark.parametrize('squares', [False, True])
@pytest.mark.parametrize('bad', [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('shape, row', [((64, 128), 3), ((8192,), ...)])
def test_what_is_not_finite_shows_and_stays(bad, shape, row, squares):
  """In its block, which is NaN from then on, and in no other."""
  ones = jnp.ones(shape)
  last = jnp.uint32(0xFFFFFFFF).view(jnp.float32)  # the NaN with the most bits
  for wrong in (jnp.float32(bad), last):
    value = ones.at[(3, 5) if len(shape) == 2 else 8191].set(wrong)
    used, _ = average_of(moment_of('block8', squares), [value, ones, ones], 0.9)
    for each in used:
      assert np.isnan(each[row]).all()
      assert np.isnan(each).sum() == ones[row].size


def test_scales_from_the_least_to_the_greatest():
  for scale in (1e-14, 1.0, 1e18):
    gradient = tree(0)['wide'] * scale
    used, _ = average_of(moment_of('block8', squares=True), [gradient], 0.5)
    value = np.asarray(gradient, np.float64) ** 2
    near = value > np.max(value, axis=1, keepdims=True) * 2.0**-28
    ratio = np.asarray(used[0], np.float64) / (value / 2)
    assert (np.abs(ratio[near] - 1) < 0.125).all()


@pytest.mark.parametrize('b1', [0.9, 0.999])
def test_no_number_leaves_the_range_of_its_codes(b1):
  """Rounded by chance, averages wander: past the last code they would begin anew.

  3000 updates of Adam under constant gradients, of 8192 numbers: a nu that begins anew
  makes a step thousands of times too long, a mu none at all.
  """
  tx = lrax.transforms.scale_by_adam(b1, mu_dtype='block8', nu_dtype='block8')
  g = jnp.ones((64, 128)) * jnp.where(jnp.arange(128) == 5, 10.0, -1.0)

  def step(state, _):
    updates, state = tx.update(g, state)
    size = updates * jnp.sign(g)
    return state, (size.min(), size.max())

  low, high = jax.lax.scan(step, tx.init(g), length=3000)[1]
  # By their roundings alone, 0.40 to 2.74 at 0.999.
  assert low.min() > 0.25 and high.max() < 4


# --- chance


def test_chance_is_even_and_of_its_own_everywhere():
  """Each half of the bits; from row to row, from update to update, call to call."""
  noise = lambda count: _moments.Noise(jnp.int32(count))
  first = noise(7)
  draws = [np.asarray(first.bits((128, 128))), np.asarray(first.bits((128, 128)))]
  draws += [np.asarray(noise(8).bits((128, 128)))]
  assert (np.asarray(noise(7).bits((128, 128))) == draws[0]).all()
  shares = [d.astype(np.float64) / 2**32 - 0.5 for d in draws]
  count = 128 * 128
  for share in shares:
    # Deviations of the mean and the variance: sqrt(1/12/n) and sqrt(1/180/n).
    assert abs(share.mean()) < 4 * np.sqrt(1 / 12 / count)
    assert abs((share**2).mean() - 1 / 12) < 4 * np.sqrt(1 / 180 / count)
  a, b, c = shares
  # Two rows go on in the same steps, apart by a distance that is chance: the mean of
  # their product, 1 / 12 - distance * (1 - distance) / 2, deviates by sqrt(1 / 720).
  for x, y in [(a, b), (a, c), (b, c), (a[1:], a[:-1])]:
    assert abs((x * y).mean()) < 4 * np.sqrt(1 / 720 / len(x))
  low = np.concatenate([(d >> 16 & 1).ravel() for d in draws])
  assert abs(low.mean() - 0.5) < 4 * 0.5 / np.sqrt(low.size)
  # Along a row it is not chance but a sequence that is more even: the mean of 128
  # numbers by chance is off by 0.0255 (1 / sqrt(12 * 128)) at a time.
  for share in shares:
    assert np.abs(share.mean(1)).max() < 3 / 128


@pytest.mark.parametrize('shape', [(), (8,), (2, 3, 8)])
def test_at_a_place_each_update_has_its_own_chance(shape):
  draws = jax.vmap(lambda i: _moments.Noise(i).bits(shape))(jnp.arange(4096))
  shares = np.asarray(draws, np.float64).reshape(4096, -1) / 2**32 - 0.5
  places = shares.shape[1]
  # Six deviations: of up to 48 places the largest of a few statistics each.
  assert (np.abs(shares.mean(0)) < 6 * np.sqrt(1 / 12 / 4096)).all()
  for lag in (1, 2, 3):
    product = (shares[lag:] * shares[:-lag]).mean(0)
    assert (np.abs(product) < 6 / 12 / np.sqrt(4096)).all()
  assert len(np.unique(draws.reshape(4096, -1)[0])) == places


# --- in the methods


@every_kind
@pytest.mark.parametrize('name', ADAMS)
def test_a_method_takes_both(name, kind):
  """Layout, bytes, and updates near to those of float32."""
  tx = getattr(lrax, name)(0.1, **KINDS[kind])
  exact = getattr(lrax, name)(0.1)
  params = tree(0)
  state, same = tx.init(params), exact.init(params)
  update = jax.jit(tx.update)
  before = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  for seed in range(1, 4):
    updates, state = update(tree(seed), state, params)
    expected, same = exact.update(tree(seed), same, params)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == before
  assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(
      jnp.result_type, params
  )
  # Eight bits: up to an eighth of mu and of nu; bfloat16: a 256th.
  share = 0.3 if kind == 'block8' else 0.02
  for ours, theirs in zip(jax.tree.leaves(updates), jax.tree.leaves(expected)):
    error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    assert error < share / 2
  if name != 'ademamix':  # whose slow average stays in float32
    moments = sum(x.nbytes for x in jax.tree.leaves(state) if x.size >= 50)
    if name == 'mars':
      moments -= 4 * sum(p.size for p in jax.tree.leaves(params))
    held = moments / sum(p.size for p in jax.tree.leaves(params))
    assert held < (2.2 if kind == 'block8' else 4.2)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, 'block8'])
def test_lion_takes_one(dtype):
  params, exact = tree(0), lrax.lion(0.1)
  tx = lrax.lion(0.1, mu_dtype=dtype)
  state, same = tx.init(params), exact.init(params)
  for seed in range(1, 4):
    updates, state = tx.update(tree(seed), state, params)
    expected, same = exact.update(tree(seed), same, params)
  agree = [np.mean(a == b) for a, b in zip(*map(jax.tree.leaves, (updates, expected)))]
  assert min(agree) > 0.95


@every_kind
def test_zero_gradients_move_nothing(kind):
  tx = lrax.adam(0.1, eps=0.0, **KINDS[kind])
  params = tree(0)
  zeros = jax.tree.map(jnp.zeros_like, params)
  state = tx.init(params)
  for g in (zeros, params, zeros, zeros):
    updates, state = tx.update(g, state, params)
    assert all(jnp.isfinite(u).all() for u in jax.tree.leaves(updates))
  updates, _ = tx.update(zeros, tx.init(params), params)
  assert all((u == 0).all() for u in jax.tree.leaves(updates))


@every_kind
@pytest.mark.parametrize('dtype', ['bfloat16', 'float32', 'complex64'])
def test_any_parameters(kind, dtype):
  params = tree(0, dtype)
  tx = lrax.adamw(0.1, **KINDS[kind])
  updates, state = jax.jit(tx.update)(params, tx.init(params), params)
  assert all(u.dtype == dtype for u in jax.tree.leaves(updates))
  assert all(jnp.isfinite(u).all() for u in jax.tree.leaves(updates))


@every_kind
def test_float64(kind, x64):
  params = tree(0, np.float64)
  tx = lrax.adamw(0.1, **KINDS[kind])
  updates, state = jax.jit(tx.update)(params, tx.init(params), params)
  assert all(u.dtype == np.float64 for u in jax.tree.leaves(updates))
  kept = [x.dtype.name for x in jax.tree.leaves(state) if x.size > 4096]
  assert set(kept) == {'bfloat16' if kind == 'bfloat16' else 'uint8'}


def test_the_state_of_one_block_serves_every_size():
  """vmap over models, scan over steps."""
  tx = lrax.adamw(0.1, **KINDS['block8'])
  params = {'w': jnp.ones((3, 64, 64))}
  state = jax.vmap(tx.init)(params)
  updates, state = jax.vmap(tx.update)(params, state, params)
  alone, _ = tx.update(
      {'w': params['w'][0]}, tx.init({'w': params['w'][0]}), {'w': params['w'][0]}
  )
  np.testing.assert_array_equal(updates['w'][0], alone['w'])


def test_a_schedule_of_b1_still_corrects():
  tx = lrax.adam(0.1, b1=lrax.linear(0.5, 0.9, steps=3), **KINDS['block8'])
  params = {'w': jnp.ones((64, 64))}
  state = tx.init(params)
  for _ in range(5):
    updates, state = tx.update(params, state, params)
  np.testing.assert_allclose(updates['w'], -0.1, rtol=0.2)


def test_nothing_is_copied():
  """The point of using what is kept: donated moments are overwritten in place."""
  shape = (512, 512)
  params = jnp.ones(shape)
  for kinds in ({}, *KINDS.values()):
    tx = lrax.adamw(0.1, **kinds)

    def step(params, state, g, tx=tx):
      updates, state = tx.update(g, state, params)
      return optax.apply_updates(params, updates), state

    jitted = jax.jit(step, donate_argnums=(0, 1))
    compiled = jitted.lower(params, tx.init(params), params).compile()
    analysis = compiled.memory_analysis()
    if analysis is None:
      pytest.skip('this backend does not say')
    # Rows of bounds, and of 8 bits the maxima of eight parts: half a byte a number,
    # 131,072. One moment of a byte a number would be 262,144.
    limit = 150_000 if kinds.get('nu_dtype') == 'block8' else 32_768
    assert analysis.temp_size_in_bytes < limit, kinds


@pytest.mark.parametrize('name', ADAMS)
def test_refusals(name):
  member = getattr(lrax, name)
  for wrong in ('block4', 8, jnp.int8, 'int8'):
    for argument in ('mu_dtype', 'nu_dtype'):
      with pytest.raises(TypeError, match=f'`{argument}` must be'):
        member(0.1, **{argument: wrong})
  with pytest.raises(ValueError, match="`nu_dtype` must be .*'block8'"):
    member(0.1, nu_dtype=jnp.float16)


@pytest.mark.parametrize('dtype', ['Block8', 'int8', 'block4'])
def test_who_misnames_the_format_is_told_its_name(dtype):
  with pytest.raises(TypeError, match="`mu_dtype` must be .* or 'block8' for 8 bits"):
    lrax.adamw(0.1, mu_dtype=dtype)
