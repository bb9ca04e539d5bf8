"""Lengths in steps, from epochs, examples and batches, and Adam's warmup."""

import pytest

import lrax
from lrax.schedules import untuned_warmup_steps


@pytest.mark.parametrize(
    'arguments, expected',
    [
        ((1, 128, 128), 1),
        ((1, 129, 128), 2),  # the last batch is smaller
        ((0, 1000, 10), 0),
        ((2.5, 1000, 10), 250),
        ((0.004, 1000, 10), 0),
        ((0.005, 1000, 10), 1),  # half a step rounds up
    ],
)
def test_batches_of_all_epochs(arguments, expected):
  assert lrax.steps_for(*arguments) == expected


def test_a_last_batch_can_be_dropped_and_batches_accumulate_over_epochs():
  assert lrax.steps_for(3, 129, 128, drop_remainder=True) == 3
  # 3 epochs of 5 batches are 15: 7 updates of 2, and one batch waits.
  assert lrax.steps_for(3, 50, 10, accumulation_steps=2) == 7


@pytest.mark.parametrize(
    'change, error',
    [
        ({'epochs': -1}, ValueError),
        ({'epochs': 'all'}, TypeError),
        ({'examples': 0}, ValueError),
        ({'batch_size': 1.5}, ValueError),
        ({'accumulation_steps': 0}, ValueError),
        ({'drop_remainder': 1}, TypeError),
        ({'batch_size': 11, 'drop_remainder': True}, ValueError),
    ],
)
def test_what_cannot_be_counted_is_refused(change, error):
  arguments = {'epochs': 1, 'examples': 10, 'batch_size': 2} | change
  with pytest.raises(error, match=f'steps_for: `{next(iter(change))}` must be'):
    lrax.steps_for(**arguments)


def test_the_untuned_warmup_is_two_over_one_minus_b2():
  # In floats 2 / (1 - 0.999) is below 2000, and 2 / (1 - 0.9) below 20.
  assert [untuned_warmup_steps(b2) for b2 in (0.999, 0.99, 0.9, 0.0)] == [
      2000, 200, 20, 2
  ]
  with pytest.raises(ValueError, match='untuned_warmup_steps: `b2` must be'):
    untuned_warmup_steps(1.0)
