"""Another width: the maximal update parametrization (muP)."""

from __future__ import annotations

import math

from lrax import _advice
from lrax import _checks

_count = _checks.number(
    'a whole number >= 1', lambda x: x >= 1, 'count the units of a layer', whole=True
)


def mup(
    width: int,
    base_width: int,
    optimizer: str = 'adam',
    output_multiplier: bool = False,
) -> _advice.Advice:
  """Each layer's factor of a rate that was tuned on a narrower network.

  Formula:
    k = width / base_width; every hidden width has grown by it

                  input   bias   hidden   output   output_bias
      adam        1       1      1 / k    1 / k    1
      sgd         k       k      1        1 / k    1

    with `output_multiplier` the output's are 1 for adam and k for sgd

  Input weights lead from a size that stays, such as pixels or a vocabulary, to a
  width: embeddings are among them. Hidden weights lead from width to width,
  output weights from a width to a size that stays. A bias, a gain of a norm and
  any other vector as long as a width go by `bias`. The factors belong together
  with these initial values, relative to a standard deviation of
  1 / sqrt(fan_in):

    by default        the output's is 1 / sqrt(k) times it, or the output is 0
    output_multiplier the output's is sqrt(k) times it, or the output is 0, and the
                      network multiplies what the output weights give by 1 / k

  and all others as they are. Attention divides its logits by the size of a head,
  not by its root.

  Args:
    width: units in a hidden layer of the network to train, a whole number >= 1.
    base_width: those of the network that the rate was tuned on.
    optimizer: 'adam' for Adam, AdamW and what else does not mind the gradient's
      size, such as Lion; 'sgd' for SGD, with and without momentum.
    output_multiplier: whether the network multiplies by 1 / k as above, which
      weights shared between embedding and output need.

  Returns:
    An `Advice` whose value is a dict of factors, to be given to the paths of a
    network by `lrax.groups.param_groups`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
    Hyperparameter Transfer", 2022, table 3, and with `output_multiplier` table 8,
    which microsoft/mup implements.

  Example:
    >>> import lrax
    >>> factors = lrax.scale.mup(width=1024, base_width=256).value
    >>> factors['input'], factors['hidden'], factors['output']
    (1.0, 0.25, 0.25)
    >>> rules = [
    ...     ('embed', factors['input']),
    ...     ('.*/bias', factors['bias']),
    ...     ('layers', factors['hidden']),
    ...     ('head', factors['output']),
    ... ]
    >>> tx = lrax.groups.param_groups(rules, lrax.adam(1e-3))
  """
  owner = 'mup'
  width = int(_count(owner, 'width', width))
  base_width = int(_count(owner, 'base_width', base_width))
  optimizer = _checks.choice('adam', 'sgd')(owner, 'optimizer', optimizer)
  output_multiplier = _checks.flag(owner, 'output_multiplier', output_multiplier)
  k = width / base_width
  if optimizer == 'adam':
    vectors, hidden, output = 1.0, 1 / k, 1.0 if output_multiplier else 1 / k
  else:
    vectors, hidden, output = k, 1.0, k if output_multiplier else 1 / k
  if output_multiplier:
    start, multiplied = math.sqrt(k), f'is multiplied by {1 / k:.3g}'
  else:
    start, multiplied = 1 / math.sqrt(k), 'has no multiplier'
  return _advice.Advice(
      value={
          'input': vectors,
          'hidden': hidden,
          'output': output,
          'bias': vectors,
          'output_bias': 1.0,
      },
      reason=(
          f'Width {width:,} is {k:.3g} times {base_width:,}, so with {optimizer} the'
          f' rate is multiplied by {hidden:.3g} for hidden, {output:.3g} for output and'
          f' {vectors:.3g} for input weights and biases. The output weights start at 0'
          f' or {start:.3g} times their usual 1/sqrt(fan_in), and what they give'
          f' {multiplied}; other weights start as usual.'
      ),
      caveat=(
          'It holds for growing widths alone: depth, batch and length of training are'
          ' other matters. Attention must divide by the size of a head, not its root.'
          ' param_groups scales decoupled weight decay too, which microsoft/mup undoes.'
      ),
      source=(
          'Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot'
          ' Hyperparameter Transfer", 2022 (arXiv 2203.03466), table'
          f' {8 if output_multiplier else 3}'
      ),
  )
