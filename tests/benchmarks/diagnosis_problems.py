"""Problems that rules of the diagnosis may be set on, and what all problems are.

Real data of scikit-learn and of lrax's tasks. More are in `diagnosis_made`; those that
rules must not be set on are in `diagnosis_held_out`.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import tasks


@dataclasses.dataclass(frozen=True)
class Problem:
  """A task, and how it is trained.

  `few` are the rows of the small training set that is overfitted, 0 for none;
  `batch_size` is None for all rows; `rates` are the ends of the grid as powers of
  ten, which are `apart`: a quarter of a power, or an eighth.
  """

  task: str
  optimizer: str
  batch_size: int | None
  steps: int
  few: int
  rates: tuple[float, float]
  seeds: tuple[int, ...]
  apart: float = 0.25

  @property
  def name(self) -> str:
    size = 'all' if self.batch_size is None else self.batch_size
    return f'{self.task}, {self.optimizer}, batch {size}, {self.steps} steps'

  @property
  def grid(self) -> np.ndarray:
    """Rates, ascending, each 10^apart times the one before."""
    low, high = self.rates
    return 10.0 ** np.arange(low, high + self.apart / 2, self.apart)


# --- tasks --------------------------------------------------------------------


def classes(logits, labels):
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def squares(outputs, targets):
  return jnp.mean((outputs[:, 0] - targets) ** 2)


def every(outputs, targets):
  return jnp.mean((outputs - targets) ** 2)


def network(
    name, rows, widths, activation, loss, validated=0.4, standardised=True
) -> tasks.Task:
  """Layers of these widths on (inputs, targets) in a fixed random order."""
  inputs, targets = rows
  order = np.random.default_rng(0).permutation(len(inputs))
  kept = round(len(order) * (1 - validated))
  mean, scale = inputs[order[:kept]].mean(0), inputs[order[:kept]].std(0)
  inputs = inputs[order]
  if standardised:
    inputs = (inputs - mean) / np.maximum(scale, 1e-3)
  inputs = inputs.astype(np.float32)
  targets = targets[order]

  def init(key):
    params = []
    for wide, narrow in zip(widths, widths[1:]):
      key, draw = jax.random.split(key)
      weights = jax.random.normal(draw, (wide, narrow)) / np.sqrt(wide)
      params.append((weights, jnp.zeros(narrow)))
    return params

  def mean_loss(params, batch, key):
    del key
    x, y = batch
    for weights, bias in params[:-1]:
      x = activation(x @ weights + bias)
    return loss(x @ params[-1][0] + params[-1][1], y)

  return tasks.Task(
      init=init,
      loss=mean_loss,
      train=tasks.Arrays((inputs[:kept], targets[:kept])),
      validation=tasks.Arrays((inputs[kept:], targets[kept:])),
      steps=1,
      name=name,
  )


def _table(name: str):
  """(inputs, targets) of a table of scikit-learn; numbers are standardised."""
  from sklearn import datasets

  inputs, targets = getattr(datasets, f'load_{name}')(return_X_y=True)
  if targets.dtype.kind == 'f':
    targets = (targets - targets.mean()) / targets.std()
    return inputs, targets.astype(np.float32)
  return inputs, targets.astype(np.int32)


def _digits_narrow() -> tasks.Task:
  inputs, targets = _table('digits')
  return network(
      'digits', (inputs, targets), (64, 32, 10), jax.nn.relu, classes
  )


def _diabetes() -> tasks.Task:
  return network('diabetes', _table('diabetes'), (10, 32, 1), jnp.tanh, squares)


def _diabetes_line() -> tasks.Task:
  return network('diabetes line', _table('diabetes'), (10, 1), jnp.tanh, squares)


def _diabetes_products() -> tasks.Task:
  """A linear function of the ten measures and their products two by two."""
  inputs, targets = _table('diabetes')
  products = _products(inputs)
  return network(
      'diabetes products', (products, targets), (65, 1), jnp.tanh, squares
  )


def _products(inputs):
  """The columns, standardised, and their products two by two."""
  inputs = (inputs - inputs.mean(0)) / inputs.std(0)
  first, second = np.triu_indices(inputs.shape[1])
  return np.concatenate([inputs, inputs[:, first] * inputs[:, second]], axis=1)


def _wrong_labels(rows, share):
  """The rows with this share of labels drawn anew among those there are."""
  inputs, labels = rows
  draw = np.random.default_rng(1)
  anew = draw.integers(0, labels.max() + 1, len(labels)).astype(np.int32)
  return inputs, np.where(draw.random(len(labels)) < share, anew, labels)


def _digits_mislabelled() -> tasks.Task:
  """Softmax regression where 30 % of the labels are drawn anew."""
  rows = _wrong_labels(_table('digits'), 0.3)
  return network('digits mislabelled', rows, (64, 10), jnp.tanh, classes)


def _tumours_mislabelled() -> tasks.Task:
  """Softmax regression; 25 % of the labels drawn anew."""
  rows = _wrong_labels(_table('breast_cancer'), 0.25)
  return network('tumours mislabelled', rows, (30, 2), jnp.tanh, classes)


def _digits_layers_mislabelled() -> tasks.Task:
  """A hidden layer; 30 % of the labels drawn anew."""
  rows = _wrong_labels(_table('digits'), 0.3)
  return network(
      'digits layers mislabelled', rows, (64, 32, 10), jax.nn.relu, classes
  )


def _digits_value() -> tasks.Task:
  """What number a digit is, as a linear function of its pixels."""
  inputs, labels = _table('digits')
  targets = ((labels - labels.mean()) / labels.std()).astype(np.float32)
  return network('digits value', (inputs, targets), (64, 1), jnp.tanh, squares)


def _digits_grey() -> tasks.Task:
  """How grey a pixel in the middle of a digit is, of 17, from the eight before."""
  inputs, _ = _table('digits')
  grey, before = inputs.astype(np.int32), inputs[:, 28:36]
  seen = np.eye(17)[before.astype(int)].reshape(len(grey), -1)
  return network('digits grey', (seen, grey[:, 36]), (136, 17), jnp.tanh, classes)


def _digits_patches() -> np.ndarray:
  """(64_692, 9): the pixels of digits in the middle, each among its neighbours."""
  images = _table('digits')[0].reshape(-1, 8, 8)
  patches = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
  return patches.reshape(-1, 9)


def _digits_pixels(hidden: bool) -> tasks.Task:
  """How grey a pixel of a digit is, from the eight around it: a regression."""
  patches = _digits_patches()[::2]
  targets = patches[:, 4]
  targets = ((targets - targets.mean()) / targets.std()).astype(np.float32)
  return network(
      'digits pixels', (np.delete(patches, 4, axis=1), targets),
      (8, 16, 1) if hidden else (8, 1), jnp.tanh, squares,
  )


def _digits_ink() -> tasks.Task:
  """In which third by its grey a pixel of a digit is, from the eight around it."""
  patches = _digits_patches()[1::2]
  labels = np.searchsorted([2, 12], patches[:, 4]).astype(np.int32)
  return network(
      'digits ink', (np.delete(patches, 4, axis=1), labels), (8, 3), jnp.tanh, classes
  )


def _digits_greys() -> tasks.Task:
  """How grey a pixel of a digit is, of 17, from the 17 that each neighbour may be."""
  patches = _digits_patches()[1::3].astype(np.int32)
  seen = np.eye(17)[np.delete(patches, 4, axis=1)].reshape(len(patches), -1)
  return network(
      'digits greys', (seen, patches[:, 4]), (136, 17), jnp.tanh, classes,
      standardised=False,
  )


def _digits_rows(hidden: bool) -> tasks.Task:
  """The eight pixels of a row of a digit, from the two rows before it."""
  images = _table('digits')[0].reshape(-1, 8, 8) / 8 - 1
  rows = [images[:, at : at + 3].reshape(-1, 24) for at in range(6)]
  rows = np.concatenate(rows).astype(np.float32)
  return network(
      'digits rows', (rows[:, :16], rows[:, 16:]), (16, 32, 8) if hidden else (16, 8),
      jnp.tanh, every, standardised=False,
  )


def _diabetes_thirds(hidden: bool) -> tasks.Task:
  """In which third of the patients one's disease progresses."""
  inputs, targets = _table('diabetes')
  labels = np.searchsorted(np.quantile(targets, [1 / 3, 2 / 3]), targets)
  widths = (10, 24, 3) if hidden else (10, 3)
  return network(
      'diabetes thirds', (inputs, labels.astype(np.int32)), widths, jax.nn.relu,
      classes,
  )


def _tumours_sites() -> tasks.Task:
  """In which quarter of the tumours one is by size, from four rough measures."""
  inputs, _ = _table('breast_cancer')
  quarters = np.quantile(inputs[:, 3], [0.25, 0.5, 0.75])
  labels = np.searchsorted(quarters, inputs[:, 3]).astype(np.int32)
  seen = _products(inputs[:, [1, 4, 7, 9]])
  return network('tumours sites', (seen, labels), (14, 4), jnp.tanh, classes)


def _digits_twos() -> tasks.Task:
  """Whether a digit is even, from the ink in its rows and columns; 20 % mislabelled."""
  inputs, labels = _table('digits')
  square = inputs.reshape(-1, 8, 8)
  inputs = np.concatenate([square.sum(1), square.sum(2)], axis=1)
  rows = _wrong_labels((inputs, labels % 2), 0.2)
  return network('digits twos', rows, (16, 2), jnp.tanh, classes)


def _diabetes_sexes() -> tasks.Task:
  """A patient's sex from the nine other measures and their products."""
  inputs, _ = _table('diabetes')
  labels = (inputs[:, 1] > 0).astype(np.int32)
  seen = _products(np.delete(inputs, 1, axis=1))
  return network('diabetes sexes', (seen, labels), (54, 2), jnp.tanh, classes)


def _tumours_texture() -> tasks.Task:
  """How rough a tumour's outline is, from its other measures: a linear function."""
  inputs, _ = _table('breast_cancer')
  targets, others = inputs[:, 4], np.delete(inputs, [4, 14, 24], axis=1)
  targets = ((targets - targets.mean()) / targets.std()).astype(np.float32)
  return network('tumours texture', (others, targets), (27, 1), jnp.tanh, squares)


def _iris() -> tasks.Task:
  return network('iris', _table('iris'), (4, 24, 24, 3), jax.nn.relu, classes)


def _iris_mislabelled() -> tasks.Task:
  """Softmax regression on products two by two; 25 % of the labels drawn anew."""
  inputs, labels = _table('iris')
  rows = _wrong_labels((_products(inputs), labels), 0.25)
  return network('iris mislabelled', rows, (14, 3), jnp.tanh, classes)


def _wine() -> tasks.Task:
  return network('wine', _table('wine'), (13, 32, 3), jnp.tanh, classes)


def _wine_mislabelled() -> tasks.Task:
  """Softmax regression; 25 % of the labels drawn anew."""
  rows = _wrong_labels(_table('wine'), 0.25)
  return network('wine mislabelled', rows, (13, 3), jnp.tanh, classes)


def _packages_folded(wrong: float = 0.0) -> tasks.Task:
  """`packages` with its 8,192 columns folded into 512 or 128; share mislabelled."""
  whole = tasks.packages()
  classes, columns, nothing = 10, 128 if wrong else 512, 8_192

  def fold(source, rows):
    words, labels = source.data
    words, labels = _wrong_labels((words[:rows, :24], labels[:rows]), wrong)
    folded = np.where(words == nothing, columns, words % columns).astype(np.int32)
    return tasks.Arrays((folded, labels))

  def shuffled(source):
    order = np.random.default_rng(0).permutation(len(source.data[1]))
    return tasks.Arrays(tuple(part[order] for part in source.data))

  def init(key):
    del key
    return {'w': jnp.zeros((columns, classes)), 'b': jnp.zeros(classes)}

  def loss(params, batch, key):
    del key
    words, labels = batch
    weights = params['w'].at[words].get(mode='fill', fill_value=0)
    return classes(weights.sum(1) + params['b'], labels)

  return dataclasses.replace(
      whole, init=init, loss=loss,
      train=fold(shuffled(whole.train), 2_000),
      validation=fold(shuffled(whole.validation), 600),
  )


def _next_character(many: bool = False) -> tasks.Task:
  """The next of `characters` from the six before it, by a small network.

  Of `many` examples by no hidden layer, from the embeddings of the six.
  """
  whole = tasks.characters()
  symbols, context, wide = 98, 6, 8

  def windows(source, rows):
    read = source.data
    if many:
      read = np.concatenate([read[:, at : at + context + 1] for at in (0, 8, 16, 24)])
    spread = np.linspace(0, len(read) - 1, rows).astype(int)
    order = np.random.default_rng(0).permutation(rows)
    return tasks.Arrays(read[spread][order, : context + 1].astype(np.int32))

  def init(key):
    first, second, third = jax.random.split(key, 3)
    return {
        'embed': jax.random.normal(first, (symbols, wide)),
        'hidden': jax.random.normal(second, (context * wide, 32))
        / np.sqrt(context * wide),
        'out': jax.random.normal(third, (32, symbols)) / np.sqrt(32),
        'bias': jnp.zeros(symbols),
    }

  def loss(params, batch, key):
    del key
    read = params['embed'][batch[:, :-1]].reshape(len(batch), -1)
    hidden = read @ params['hidden']
    hidden = hidden if many else jax.nn.relu(hidden)
    return classes(hidden @ params['out'] + params['bias'], batch[:, -1])

  return dataclasses.replace(
      whole, init=init, loss=loss,
      train=windows(whole.train, 40_000 if many else 4_000),
      validation=windows(whole.validation, 512 if many else 128),
  )


def photograph(
    image: int, line: bool = False, rows: int = 1_200
) -> tasks.Task:
  """A pixel of a photograph, one of two, from the 24 around it: a regression."""
  patches = _patches(image, rows)
  targets = patches[:, 12]
  targets = ((targets - targets.mean()) / targets.std()).astype(np.float32)
  widths = (24, 1) if line else (24, 24, 1)
  return network(
      'photograph', (np.delete(patches, 12, axis=1), targets), widths,
      jax.nn.leaky_relu, squares,
  )


def photograph_edges(image: int) -> tasks.Task:
  """Whether a pixel is darker than its neighbour, and by how much, from 15 others."""
  patches = _patches(image)
  change = patches[:, 12] - patches[:, 13]
  labels = np.searchsorted([-0.05, -0.01, 0.01, 0.05], change).astype(np.int32)
  others = patches.reshape(-1, 5, 5)[:, :, [0, 1, 4]].reshape(-1, 15)
  return network(
      'photograph edges', (others, labels), (15, 16, 5), jax.nn.leaky_relu, classes
  )


def photograph_greys(image: int) -> tasks.Task:
  """How grey a pixel is, of 16, from the 16 that each of eight others may be."""
  patches = _patches(image)[:, [6, 7, 8, 11, 12, 13, 16, 17, 18]]
  greys = np.minimum(16 * patches, 15).astype(np.int32)
  seen = np.eye(16)[np.delete(greys, 4, axis=1)].reshape(len(greys), -1)
  return network(
      'photograph greys', (seen, greys[:, 4]), (128, 16), jnp.tanh, classes,
      standardised=False,
  )


def photograph_columns(image: int) -> tasks.Task:
  """The five pixels of a column, from the four columns around it."""
  patches = _patches(image).reshape(-1, 5, 5)
  targets = (4 * patches[:, :, 2] - 2).astype(np.float32)
  others = np.delete(patches, 2, axis=2).reshape(-1, 20)
  return network(
      'photograph columns', (others, targets), (20, 24, 5), jax.nn.leaky_relu, every
  )


def _patches(image: int, rows: int = 20_000) -> np.ndarray:
  """(rows, 25): pieces of a photograph, at random places."""
  from sklearn import datasets

  whole = datasets.load_sample_images().images[image].mean(-1) / 255
  draw = np.random.default_rng(0)
  top, left = (draw.integers(0, side - 5, rows) for side in whole.shape)
  area = np.arange(5)
  return whole[
      top[:, None, None] + area[:, None], left[:, None, None] + area
  ].reshape(-1, 25)


TASKS: dict[str, Callable[[], tasks.Task]] = {
    'characters': _next_character,
    'characters many': lambda: _next_character(many=True),
    'diabetes': _diabetes,
    'diabetes line': _diabetes_line,
    'diabetes products': _diabetes_products,
    'diabetes sexes': _diabetes_sexes,
    'diabetes thirds': lambda: _diabetes_thirds(hidden=False),
    'diabetes thirds, layers': lambda: _diabetes_thirds(hidden=True),
    'digits grey': _digits_grey,
    'digits greys': _digits_greys,
    'digits ink': _digits_ink,
    'digits layers mislabelled': _digits_layers_mislabelled,
    'digits mislabelled': _digits_mislabelled,
    'digits pixels': lambda: _digits_pixels(hidden=False),
    'digits pixels, layers': lambda: _digits_pixels(hidden=True),
    'digits rows': lambda: _digits_rows(hidden=False),
    'digits rows, layers': lambda: _digits_rows(hidden=True),
    'digits twos': _digits_twos,
    'digits value': _digits_value,
    'digits': _digits_narrow,
    'iris': _iris,
    'iris mislabelled': _iris_mislabelled,
    'packages': _packages_folded,
    'packages mislabelled': lambda: _packages_folded(0.3),
    'photograph': lambda: photograph(0),
    'photograph columns': lambda: photograph_columns(0),
    'photograph edges': lambda: photograph_edges(0),
    'photograph greys': lambda: photograph_greys(0),
    'photograph line': lambda: photograph(0, line=True),
    'photograph many': lambda: photograph(0, rows=20_000),
    'photograph many, line': lambda: photograph(0, line=True, rows=20_000),
    'tumours': tasks.tumours,
    'tumours mislabelled': _tumours_mislabelled,
    'tumours sites': _tumours_sites,
    'tumours texture': _tumours_texture,
    'wine': _wine,
    'wine mislabelled': _wine_mislabelled,
}


# --- the problems --------------------------------------------------------------

_HEAVY = 'sgd(momentum=0.9)'
_SOME, _LONG = 'sgd(momentum=0.8)', 'sgd(momentum=0.98)'
_NESTEROV = 'sgd(momentum=0.95, nesterov=True)'
_LIGHT = 'sgd(momentum=0.5)'
_DECAYED = 'adamw(weight_decay=0.01)'
PROBLEMS = (
    Problem('digits', 'sgd', 32, 300, 0, (-2.5, 0.75), (0,)),
    Problem('digits', 'adam', 64, 400, 60, (-4.25, -0.5), (1,)),
    Problem('digits', _HEAVY, 16, 250, 0, (-3.75, -0.25), (2, 3)),
    Problem('digits mislabelled', _HEAVY, 8, 900, 0, (-2.5, -1.0), (22, 23, 30, 37)),
    Problem('digits mislabelled', 'adam', 8, 900, 0, (-2.75, -1.25), (24, 25, 38)),
    Problem('tumours', 'adam', 16, 300, 40, (-4.0, 0.5), (4, 5)),
    Problem('tumours', 'sgd', 2, 600, 40, (-4.0, 1.0), (20, 21)),
    Problem('tumours', _HEAVY, 32, 200, 40, (-3.5, 1.25), (6, 7)),
    Problem('tumours mislabelled', 'sgd', 4, 700, 0, (-2.5, 0.0), (40, 41, 42, 43)),
    Problem('tumours mislabelled', 'adam', 8, 700, 0, (-3.0, -0.5), (44, 45, 46, 47)),
    Problem('diabetes', 'sgd', 8, 300, 60, (-3.5, 0.0), (8, 9)),
    Problem('diabetes', 'adam', 16, 500, 60, (-4.5, -0.25), (10, 11)),
    Problem('diabetes', _HEAVY, None, 300, 60, (-4.0, 0.0), (12, 13)),
    Problem('diabetes line', 'sgd', 4, 400, 0, (-4.0, 0.0), (14, 15)),
    Problem('diabetes line', _HEAVY, 8, 500, 0, (-4.0, -1.0), (16, 17, 31, 32)),
    Problem('diabetes line', 'adam', 4, 500, 0, (-4.0, 0.0), (18, 19, 33, 34)),
    Problem('diabetes products', 'sgd', 4, 900, 0, (-4.0, -1.25), (26, 27)),
    Problem('diabetes products', 'adam', 8, 900, 0, (-4.0, -1.0), (28, 29, 35, 36)),
    Problem('digits layers mislabelled', 'sgd', 8, 700, 0, (-2.5, 0.25), (50, 51)),
    Problem('digits layers mislabelled', 'adamax', 16, 500, 0, (-3.5, -0.5), (52, 53)),
    Problem('digits mislabelled', 'lion', 8, 700, 0, (-4.5, -1.5), (54, 55)),
    Problem('digits value', 'sgd', 4, 700, 0, (-4.0, -1.0), (56, 57, 58)),
    Problem('digits value', 'adagrad', 8, 500, 0, (-3.0, 0.5), (59, 60)),
    Problem('digits grey', 'sgd', 4, 900, 0, (-2.5, 0.5), (61, 62)),
    Problem('digits grey', 'amsgrad', 8, 700, 0, (-3.5, -0.25), (63, 64)),
    Problem('digits grey', _SOME, 16, 500, 0, (-2.5, 0.5), (65, 66)),
    Problem('tumours mislabelled', _SOME, 4, 500, 0, (-2.5, 0.0), (67, 68, 69)),
    Problem('tumours mislabelled', 'lion', 8, 400, 0, (-4.0, -0.5), (70, 71)),
    Problem('tumours texture', 'sgd', 4, 600, 0, (-4.0, -0.75), (72, 73, 74)),
    Problem('tumours texture', _LONG, 16, 400, 0, (-5.0, -1.5), (75, 76)),
    Problem('tumours texture', 'yogi', 8, 600, 0, (-4.0, -0.25), (77, 78)),
    Problem('diabetes thirds', 'sgd', 2, 700, 0, (-3.0, 0.25), (79, 80, 81)),
    Problem('diabetes thirds', 'adabelief', 4, 600, 0, (-3.5, -0.25), (82, 83, 84)),
    Problem('diabetes thirds', _LONG, 8, 500, 0, (-4.0, -0.75), (85, 86)),
    Problem('diabetes thirds, layers', 'adam', 8, 400, 40, (-4.0, -0.5), (87, 88)),
    Problem('diabetes thirds, layers', _SOME, 4, 500, 40, (-3.5, -0.25), (89, 90)),
    Problem('diabetes products', _SOME, 8, 600, 0, (-4.0, -1.0), (91, 92, 93)),
    Problem('diabetes line', 'adamax', 4, 400, 0, (-3.5, 0.25), (94, 95)),
    Problem('tumours mislabelled', 'adamax', 4, 700, 0, (-2.5, 0.0), (100, 101, 102)),
    Problem('tumours mislabelled', 'yogi', 4, 600, 0, (-2.5, 0.0), (103, 104, 105)),
    Problem('tumours sites', 'adam', 4, 700, 0, (-2.5, 0.0), (106, 107, 108)),
    Problem('tumours sites', 'sgd', 4, 600, 0, (-2.5, 0.75), (109, 110, 111)),
    Problem('tumours sites', _SOME, 8, 600, 0, (-2.5, 0.5), (112, 113, 114)),
    Problem('digits twos', 'sgd', 2, 700, 0, (-2.5, 0.0), (115, 116, 117)),
    Problem('digits twos', 'adabelief', 8, 700, 0, (-3.0, -0.5), (118, 119, 120)),
    Problem('digits twos', _LONG, 8, 700, 0, (-4.0, -0.75), (121, 122, 123)),
    Problem('digits mislabelled', 'amsgrad', 4, 900, 0, (-2.75, -0.5), (124, 125)),
    Problem('digits mislabelled', _SOME, 4, 900, 0, (-2.5, -0.25), (126, 127)),
    Problem('digits mislabelled', 'sgd', 16, 900, 0, (-1.5, 0.75), (128, 129)),
    Problem('diabetes products', 'yogi', 4, 700, 0, (-3.0, -0.5), (130, 131, 132)),
    Problem('diabetes sexes', 'adam', 4, 600, 0, (-2.5, 0.0), (133, 134, 135)),
    Problem('diabetes sexes', _HEAVY, 4, 600, 0, (-2.5, 0.0), (136, 137, 138)),
    Problem('digits pixels', 'sgd', 4, 600, 0, (-3.0, 0.0), (139, 140, 141)),
    Problem('digits pixels', _HEAVY, 8, 600, 0, (-3.5, -0.75), (142, 143, 144)),
    Problem('digits pixels', 'adam', 4, 700, 0, (-3.5, -0.25), (145, 146, 147)),
    Problem('digits pixels, layers', 'sgd', 4, 800, 0, (-3.0, 0.25), (148, 149)),
    Problem('digits pixels, layers', _SOME, 8, 700, 0, (-3.5, 0.0), (150, 151)),
    Problem('digits pixels, layers', 'amsgrad', 4, 700, 0, (-4.0, -0.5), (152, 153)),
    Problem('digits ink', 'sgd', 2, 700, 0, (-2.5, 0.75), (154, 155, 156)),
    Problem('digits ink', _LONG, 8, 600, 0, (-4.0, -0.5), (157, 158)),
    Problem('digits ink', 'adamax', 4, 700, 0, (-3.0, 0.25), (159, 160, 161)),
    Problem('digits greys', 'sgd', 4, 900, 0, (-1.0, 1.0), (162, 163), 0.125),
    Problem('digits greys', _HEAVY, 8, 900, 0, (-1.75, 0.5), (164, 165), 0.125),
    Problem('digits greys', 'adam', 8, 900, 0, (-2.25, -0.25), (166, 167), 0.125),
    Problem('digits greys', 'adabelief', 4, 700, 0, (-3.0, -0.5), (168, 169), 0.125),
    Problem('digits rows', 'sgd', 2, 900, 0, (-2.0, 0.75), (172, 173), 0.125),
    Problem('digits rows', _LONG, 4, 900, 0, (-4.0, -1.0), (174, 175), 0.125),
    Problem('digits rows', 'adam', 2, 900, 0, (-2.5, 0.0), (176, 177), 0.125),
    Problem('digits rows, layers', _SOME, 2, 900, 0, (-2.0, 0.5), (178, 179), 0.125),
    Problem('digits rows, layers', 'yogi', 2, 900, 0, (-2.75, -0.25), (180,), 0.125),
    Problem('digits rows, layers', _HEAVY, 4, 900, 0, (-2.5, 0.25), (181,), 0.125),
    Problem('wine', 'rmsprop', 16, 300, 20, (-4.5, 0.0), (2000, 2001)),
    Problem('wine', _LIGHT, 8, 200, 20, (-3.5, 1.0), (2002, 2003)),
    Problem('wine', _NESTEROV, None, 150, 20, (-4.0, 0.5), (2004, 2005)),
    Problem(
        'wine mislabelled', _DECAYED, 4, 700, 0, (-2.5, 0.0),
        (2040, 2041, 2042, 2050),
    ),
    Problem(
        'wine mislabelled', _LIGHT, 2, 700, 0, (-2.5, 0.0),
        (2043, 2044, 2045, 2051),
    ),
    Problem('iris', _DECAYED, 8, 400, 20, (-4.5, 0.0), (2006, 2007)),
    Problem('iris', _NESTEROV, 16, 250, 20, (-4.5, 0.0), (2008, 2009)),
    Problem(
        'iris mislabelled', _LIGHT, 4, 700, 0, (-2.25, 0.0),
        tuple(range(2060, 2067)),
    ),
    Problem(
        'iris mislabelled', 'rmsprop', 8, 700, 0, (-2.5, -0.25),
        tuple(range(2070, 2076)),
    ),
    Problem('iris mislabelled', _NESTEROV, 8, 700, 0, (-3.75, -0.5), (2046, 2047)),
    Problem(
        'iris mislabelled', _DECAYED, 4, 700, 0, (-2.5, -0.5), tuple(range(2080, 2086))
    ),
    Problem(
        'wine mislabelled', 'rmsprop', 8, 700, 0, (-3.0, -0.75),
        tuple(range(2090, 2096)),
    ),
    Problem('packages', _DECAYED, 64, 300, 100, (-3.75, 0.25), (2016,)),
    Problem('packages mislabelled', _LIGHT, 16, 900, 0, (-1.5, 0.75), (2017, 2018)),
    Problem('packages mislabelled', _DECAYED, 8, 900, 0, (-3.0, -0.5), (2019, 2020)),
    Problem('characters', 'rmsprop', 32, 500, 200, (-4.0, -0.5), (2021,)),
    Problem('characters', _NESTEROV, 16, 900, 0, (-3.0, -0.5), (2022, 2023)),
    Problem('photograph', _LIGHT, 16, 300, 60, (-4.0, 0.0), (2024, 2025)),
    Problem('photograph', 'rmsprop', 8, 500, 60, (-4.5, -0.5), (2026, 2027)),
    Problem('photograph', _DECAYED, 128, 200, 60, (-4.0, 0.0), (2028, 2029)),
    Problem('photograph line', _NESTEROV, 4, 700, 0, (-5.0, -1.5), (2030, 2031)),
    Problem('photograph many', _DECAYED, 4, 700, 0, (-3.0, -0.5), (2100,), 0.125),
    Problem('photograph many', _LIGHT, 4, 700, 0, (-2.5, -0.25), (2102, 2103), 0.125),
    Problem('photograph many, line', 'rmsprop', 4, 600, 0, (-4.0, -0.5), (2104, 2105)),
    Problem('photograph many, line', _LIGHT, 4, 700, 0, (-4.0, -1.0), (2107, 2108)),
    Problem('photograph edges', _NESTEROV, 4, 800, 0, (-4.0, -0.5), (2110, 2111)),
    Problem('photograph edges', 'rmsprop', 8, 800, 0, (-4.0, -0.5), (2112, 2113)),
    Problem(
        'photograph greys', _LIGHT, 8, 900, 0, (-1.0, 1.0), (2118, 2119, 2130, 2131),
        0.125,
    ),
    Problem('photograph greys', 'rmsprop', 8, 900, 0, (-3.0, -0.75), (2120,), 0.125),
    Problem(
        'photograph greys', _DECAYED, 4, 900, 0, (-2.5, -0.5), (2122, 2132, 2133),
        0.125,
    ),
    Problem('photograph edges', _LIGHT, 4, 900, 0, (-2.0, 0.5), (2136, 2137), 0.125),
    Problem('photograph edges', _DECAYED, 4, 900, 0, (-3.0, -0.5), (2138,), 0.125),
    Problem('photograph columns', _NESTEROV, 4, 900, 0, (-3.0, 0.0), (2124,), 0.125),
    Problem('photograph columns', 'rmsprop', 2, 900, 0, (-3.5, -0.5), (2126,), 0.125),
    Problem('photograph columns', _LIGHT, 2, 900, 0, (-2.0, 0.5), (2128,), 0.125),
    Problem('characters many', _LIGHT, 16, 900, 0, (-1.0, 1.0), (2114, 2134), 0.125),
    Problem(
        'characters many', _DECAYED, 16, 900, 0, (-2.75, -0.5), (2116, 2135), 0.125
    ),
)
