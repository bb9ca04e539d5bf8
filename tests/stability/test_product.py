"""Products with Hessians: against dense ones, over devices, and of whole tasks."""

import functools

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax import stability
from lrax import tasks

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(10, 3)).astype(np.float32)
TARGETS = RNG.normal(size=10).astype(np.float32)
PARAMS = {
    'w': jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32),
    'out': [jnp.asarray(RNG.normal(size=2), jnp.float32), jnp.float32(0.3)],
}
VECTOR = jax.tree.map(lambda x: jnp.cos(1 + 3 * x), PARAMS)
# Products and dense matrices are sums of some ten float32 numbers around 1.
CLOSE = {'rtol': 1e-5, 'atol': 1e-5}


def predict(params, batch):
  return jnp.tanh(batch[0] @ params['w']) @ params['out'][0] + params['out'][1]


def squared(outputs, batch):
  return jnp.mean((outputs - batch[1]) ** 2)


def loss(params, batch):
  return squared(predict(params, batch), batch)


def dense(function, params=PARAMS):
  """The Hessian of a function of the parameters, as one matrix."""
  flat, back = ravel_pytree(params)
  return jax.jit(jax.hessian(lambda flat: function(back(flat))))(flat)


def multiplied(function):
  """The Hessian of a function at PARAMS by VECTOR, flat."""
  take = lambda: jax.jvp(jax.grad(function), (PARAMS,), (VECTOR,))[1]
  return flat(jax.jit(take)())


def flat(tree):
  return ravel_pytree(tree)[0]


def test_a_product_is_that_of_the_dense_hessian():
  product = stability.hessian_product(loss, PARAMS, (INPUTS, TARGETS))
  want = dense(lambda params: loss(params, (INPUTS, TARGETS))) @ flat(VECTOR)
  np.testing.assert_allclose(flat(product(VECTOR)), want, **CLOSE)
  inside = jax.jit(lambda params, batch, vector: stability.hessian_product(
      loss, params, batch)(vector))(PARAMS, (INPUTS, TARGETS), VECTOR)
  np.testing.assert_allclose(flat(inside), want, **CLOSE)


def test_a_gauss_newton_product_is_that_of_the_dense_matrix():
  batch = INPUTS, TARGETS
  product = stability.gauss_newton_product(predict, squared, PARAMS, batch)
  start, back = ravel_pytree(PARAMS)
  jacobian = jax.jit(jax.jacobian(lambda x: predict(back(x), batch)))(start)
  want = jacobian.T @ (2 / 10 * jacobian @ flat(VECTOR))
  np.testing.assert_allclose(flat(product(VECTOR)), want, **CLOSE)


def test_narrow_parameters_are_widened():
  product = stability.hessian_product(
      lambda w: jnp.sum(w**4), jnp.array([1.0078125], jnp.bfloat16)  # 1 + 2**-7
  )
  (found,) = product(jnp.ones(1, jnp.bfloat16))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, 12 * 1.0078125**2, rtol=1e-6)


@pytest.mark.parametrize('params', [{'a': jnp.arange(3)}, jnp.zeros(2, complex)])
def test_what_has_no_gradient_is_refused(params):
  for make in (
      lambda: stability.hessian_product(loss, params),
      lambda: stability.gauss_newton_product(predict, squared, params),
      lambda: stability.task_product(task(), params),
  ):
    with pytest.raises(TypeError, match='real floating-point'):
      make()


def test_other_bad_arguments_are_refused():
  with pytest.raises(ValueError, match='at least one number'):
    stability.hessian_product(loss, {})
  with pytest.raises(TypeError, match='`loss` must be a function'):
    stability.hessian_product(None, PARAMS)
  with pytest.raises(TypeError, match='`predict` must be a function'):
    stability.gauss_newton_product(None, squared, PARAMS)
  with pytest.raises(TypeError, match='lrax.tasks.Task'):
    stability.task_product(loss, PARAMS)
  with pytest.raises(ValueError, match='`batches` must be'):
    stability.task_product(task(), PARAMS, batches=0)
  with pytest.raises(ValueError, match='there must be a batch'):
    stability.task_product(task(), PARAMS, batches=[])


# --- over devices ------------------------------------------------------------


def shares(*, devices=2):
  return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), (INPUTS, TARGETS))


def averaged(params, batch, key):
  """The largest eigenvalue of the average, and a product of each kind."""
  of_loss = stability.hessian_product(loss, params, batch, axis_name='d')
  of_task = stability.task_product(task(), params, batches=[batch], axis_name='d')
  fisher = stability.gauss_newton_product(
      predict, squared, params, batch, axis_name='d'
  )
  found = stability.lanczos(of_loss, params, key, rtol=1e-3)
  return found.values, of_loss(VECTOR), of_task(VECTOR), fisher(VECTOR)


@pytest.mark.parametrize('way', ['shard_map', 'pmap'])
def test_over_devices_it_is_that_of_all_examples(way):
  key = jax.random.key(0)
  if way == 'pmap':
    over = jax.pmap(averaged, axis_name='d', in_axes=(None, 0, None))
    found = jax.tree.map(lambda x: x[1], over(PARAMS, shares(), key))
  else:
    mesh = jax.sharding.Mesh(jax.devices()[:2], ('d',))
    spec = jax.sharding.PartitionSpec
    over = jax.jit(jax.shard_map(
        averaged, mesh=mesh, in_specs=(spec(), spec('d'), spec()), out_specs=spec()
    ))
    found = over(PARAMS, (INPUTS, TARGETS), key)
  largest, of_loss, of_task, fisher = found
  batch = INPUTS, TARGETS
  matrix = dense(lambda params: loss(params, batch))
  np.testing.assert_allclose(flat(of_loss), matrix @ flat(VECTOR), **CLOSE)
  np.testing.assert_allclose(flat(of_task), matrix @ flat(VECTOR), **CLOSE)
  want = stability.gauss_newton_product(predict, squared, PARAMS, batch)(VECTOR)
  np.testing.assert_allclose(flat(fisher), flat(want), **CLOSE)
  np.testing.assert_allclose(largest, np.linalg.eigvalsh(matrix)[-1:], rtol=1e-3)


@pytest.mark.parametrize('way', ['checked', 'unchecked', 'pmap'])
def test_a_mean_over_devices_in_the_loss_is_right_or_refused(way):
  """JAX differentiates it as a sum where it does not know what is the same."""
  reduced = lambda params, batch: jax.lax.pmean(loss(params, batch), 'd')
  mesh = jax.sharding.Mesh(jax.devices()[:2], ('d',))
  spec = jax.sharding.PartitionSpec
  want = dense(lambda params: loss(params, (INPUTS, TARGETS))) @ flat(VECTOR)

  def mapped(axis_name):
    take = lambda params, batch: stability.hessian_product(
        reduced, params, batch, axis_name=axis_name
    )(VECTOR)
    if way == 'pmap':
      over = jax.pmap(take, axis_name='d', in_axes=(None, 0))
      return jax.tree.map(lambda x: x[1], over(PARAMS, shares()))
    over = jax.jit(jax.shard_map(
        take, mesh=mesh, in_specs=(spec(), spec('d')), out_specs=spec(),
        check_vma=way == 'checked',
    ))
    return over(PARAMS, (INPUTS, TARGETS))

  named = None if way == 'checked' else 'd'
  np.testing.assert_allclose(flat(mapped(named)), want, **CLOSE)
  if way == 'checked':
    with pytest.raises(ValueError, match='leave out its own mean'):
      mapped('d')


# --- tasks -------------------------------------------------------------------


def task(train=None, function=None, **others):
  batches = tasks.Arrays((INPUTS, TARGETS), batch_size=4)
  given = {
      'init': lambda key: PARAMS,
      'loss': function or (lambda params, batch, key: loss(params, batch)),
      'train': train or batches,
      'validation': batches,
      'steps': 1,
  }
  return tasks.Task(**given | others)


def stream(ends=10):
  batches = list(tasks.Arrays((INPUTS, TARGETS), batch_size=4).once())
  return tasks.Stream(lambda seed: iter(batches[:ends]))


def test_batches_are_weighted_by_their_length():
  """4, 4 and 2 of 10 examples: together the mean over all."""
  want = dense(lambda params: loss(params, (INPUTS, TARGETS))) @ flat(VECTOR)
  for train in (None, stream()):
    product = stability.task_product(task(train), PARAMS)
    np.testing.assert_allclose(flat(product(VECTOR)), want, **CLOSE)
    product = stability.task_product(task(train), PARAMS, batches=1)
    first = multiplied(lambda params: loss(params, (INPUTS[:4], TARGETS[:4])))
    np.testing.assert_allclose(flat(product(VECTOR)), first, **CLOSE)


def test_a_batch_counts_by_its_first_array_with_an_axis():
  batches = [{'a': np.float32(1), 'x': np.ones(n, np.float32)} for n in (2, 1)]
  square = lambda w, batch, key: len(batch['x']) * w**2 / 2
  made = task(tasks.Stream(lambda seed: batches), square, init=lambda key: 1.0)
  product = stability.task_product(made, 1.0)
  assert float(product(1.0)) == pytest.approx((2 * 2 + 1 * 1) / 3, rel=1e-6)


def test_products_of_one_task_are_one_program():
  task = tasks.tumours()
  params, _ = task.start(jax.random.key(0))
  kinds = {
      jax.tree.structure(stability.task_product(task, at))
      for at in (params, jax.tree.map(jnp.ones_like, params))
  }
  assert len(kinds) == 1  # what jax.jit looks a program up by


def test_drawn_batches_are_the_same_each_time():
  drawn = tasks.Drawn(
      lambda key: (jax.random.normal(key, (4, 3)), jnp.zeros(4)), batches=3
  )
  product = stability.task_product(task(drawn), PARAMS)
  every = [jnp.concatenate(x) for x in zip(*drawn.once())]
  want = multiplied(lambda params: loss(params, every))
  np.testing.assert_allclose(flat(product(VECTOR)), want, **CLOSE)


def test_a_stream_is_summed_on_the_host():
  streamed = stability.task_product(task(stream()), PARAMS)
  assert isinstance(streamed, stability.StreamedProduct)
  found = stability.lanczos(streamed, PARAMS, jax.random.key(0), rtol=1e-3)
  matrix = dense(lambda params: loss(params, (INPUTS, TARGETS)))
  assert found.converged
  np.testing.assert_allclose(found.values, np.linalg.eigvalsh(matrix)[-1:], rtol=1e-3)
  with pytest.raises(TypeError, match='cannot be traced'):
    jax.jit(streamed)(VECTOR)
  with pytest.raises(ValueError, match='there must be a batch'):
    stability.task_product(task(stream(0)), PARAMS)(VECTOR)
  with pytest.raises(ValueError, match='`axis_name` must be None'):
    stability.task_product(task(stream()), PARAMS, axis_name='d')


@pytest.mark.parametrize('streamed', [False, True])
def test_dropout_is_drawn_once_for_each_batch(streamed):

  def dropped(params, batch, key):
    kept = jax.random.bernoulli(key, 0.5, batch[0].shape)
    return loss(params, (batch[0] * kept, batch[1]))

  key = jax.random.key(5)
  held = task(stream() if streamed else None, dropped)
  product = stability.task_product(held, PARAMS, key=key)

  def mean(params):
    batches = tasks.Arrays((INPUTS, TARGETS), batch_size=4).once()
    return sum(
        len(batch[1]) / 10 * dropped(params, batch, jax.random.fold_in(key, i))
        for i, batch in enumerate(batches)
    )

  np.testing.assert_allclose(flat(product(VECTOR)), multiplied(mean), **CLOSE)


@pytest.mark.parametrize('streamed', [False, True])
def test_the_untrained_state_is_held(streamed):
  """The batch's own mean is what is normalised by, as of BatchNorm in training."""

  def centred(params, state, batch, key):
    del key
    inputs, targets = batch
    mean = inputs.mean(0)
    value = loss(params, ((inputs - mean) * state['scale'], targets))
    return value, {'scale': 2 * state['scale']}

  held = task(
      stream() if streamed else None, centred, stateful=True,
      evaluate=lambda params, state, batch: 0.0,
  )
  with pytest.raises(ValueError, match='`state` must be given'):
    stability.task_product(held, PARAMS)
  state = {'scale': jnp.float32(3)}
  product = stability.task_product(held, PARAMS, state, batches=1)
  first = (INPUTS[:4] - INPUTS[:4].mean(0)) * 3, TARGETS[:4]
  want = multiplied(lambda params: loss(params, first))
  # The curvature grows with the square of the scale, 9.
  np.testing.assert_allclose(flat(product(VECTOR)), want, rtol=1e-4, atol=1e-4)


def test_the_largest_of_a_built_in_task_is_that_of_the_dense_hessian(x64):
  """The others are in tests/benchmarks/curvature.py."""
  real = lrax.tasks.tumours()
  params = jax.tree.map(lambda x: x.astype(jnp.float64) + 0.1, real.start(None)[0])
  product = stability.task_product(real, params)
  found = stability.lanczos(product, params, jax.random.key(0))
  whole = functools.partial(real.loss, batch=real.train.data, key=None)
  truth = np.linalg.eigvalsh(dense(whole, params))
  assert found.converged
  assert abs(found.values[0] - truth[-1]) <= 1e-4 * truth[-1]
  assert np.abs(found.values[0] - truth).min() <= found.error_bounds[0]
