"""The characters task: its text, its split, its model, and what it reaches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import single_runs

import lrax
from lrax.tasks import _characters
from lrax.tasks import _source_text


@functools.cache
def task():
  return lrax.tasks.characters()


@functools.cache
def initial():
  return jax.jit(task().init)(jax.random.key(0))


def encoded(path):
  return _characters._encoded(path.read_bytes())


def test_the_same_in_every_call():
  again = lrax.tasks.characters()
  np.testing.assert_array_equal(again.train.data, task().train.data)
  np.testing.assert_array_equal(again.validation.data, task().validation.data)


def test_symbols():
  text = bytes(range(256))
  symbols = _characters._encoded(text)
  assert len(symbols) == 255  # a carriage return is none
  by_byte = dict(zip([b for b in text if b != 13], symbols.tolist()))
  assert by_byte[ord('\n')] == 0 and by_byte[ord('\t')] == 96
  assert [by_byte[b] for b in range(32, 127)] == list(range(1, 96))
  assert by_byte[200] == by_byte[0] == 97


def test_windows_are_the_text_once_and_one_symbol_more_each():
  text = [np.arange(50, dtype=np.uint8), np.arange(50, 97, dtype=np.uint8)]
  windows = _characters._windows(text)
  np.testing.assert_array_equal(windows, [range(33), range(32, 65), range(64, 97)])


def test_no_file_is_both_trained_and_validated_on():
  """Every eighth file is validated on, the other seven are trained on."""
  files = _source_text.modules('test')
  parts = [encoded(path) for path in files]
  left_out = np.concatenate(parts[7::8])
  kept = np.concatenate([part for i, part in enumerate(parts) if i % 8 != 7])
  trained, validated = task().train.data, task().validation.data
  np.testing.assert_array_equal(trained[:, :32].ravel(), kept[: 32 * len(trained)])
  assert len(kept) - 32 * len(trained) in range(1, 33)  # less than a window is lost
  windows = left_out[: (len(left_out) - 1) // 32 * 32].reshape(-1, 32)
  rows = np.linspace(0, len(windows) - 1, 128).astype(int)
  np.testing.assert_array_equal(validated[:, :32], windows[rows])


def test_nothing_is_seen_of_what_comes_later():
  logits = jax.jit(_characters._logits)
  symbols = jnp.asarray(task().train.data[:4, :32], jnp.int32)
  changed = symbols.at[:, 20].set((symbols[:, 20] + 1) % 98)
  before, after = logits(initial(), symbols), logits(initial(), changed)
  np.testing.assert_array_equal(before[:, :20], after[:, :20])
  assert (before[:, 20:] != after[:, 20:]).any(-1).all()  # all that may see it do


def test_the_loss_is_that_of_a_float64_computation():
  params = jax.tree.map(np.float64, initial())
  batch = task().validation.data[:3]
  norm = lambda x, scale: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
  x = params['embed'][batch[:, :-1]] + params['embed_positions']
  for block in params['blocks']:
    y, mixed = norm(x, block['norm_1']), []
    for head in range(4):
      part = slice(16 * head, 16 * (head + 1))
      q, k, v = ((y @ block[name])[..., part] for name in ('query', 'key', 'value'))
      scores = np.exp(q @ k.transpose(0, 2, 1) / 4) * np.tri(32)
      mixed.append(scores / scores.sum(-1, keepdims=True) @ v)
    x = x + np.concatenate(mixed, -1) @ block['out']
    hidden = np.maximum(norm(x, block['norm_2']) @ block['up'], 0)
    x = x + hidden @ block['down']
  logits = norm(x, params['norm']) @ params['embed'].T
  right = np.take_along_axis(logits, batch[:, 1:, None].astype(int), -1)[..., 0]
  entropy = np.mean(np.log(np.exp(logits).sum(-1)) - right)
  # Sums of 64 and 256 terms in float32, a handful one after another.
  np.testing.assert_allclose(task().loss(initial(), batch, None), entropy, rtol=1e-5)
  # Little is known at the start: near a guess among 98.
  assert abs(entropy - np.log(98)) < 0.2


def test_sizes():
  assert (task().steps, task().name, task().train.batch_size) == (300, 'characters', 16)
  assert sum(leaf.size for leaf in jax.tree.leaves(initial())) == 106_944
  assert task().validation.data.shape == (128, 33)
  assert len(task().train.data) > 80_000  # 300 steps do not go through it once


def test_it_learns_more_than_how_often_each_character_is():
  """150 steps of AdamW end below the entropy of single characters."""
  trainer = single_runs.Trainer(task(), lrax.adamw)
  rates = np.asarray(lrax.cosine_annealing(4e-3, 150)(jnp.arange(150)))
  shares = np.bincount(task().validation.data[:, 1:].ravel(), minlength=98) / 4096
  single = -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))
  assert trainer.run(rates, 0).validation_loss < single - 0.25
