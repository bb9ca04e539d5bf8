"""The rate and batch of a language model from its size and its data."""

from __future__ import annotations

import warnings

from lrax import _advice
from lrax import _checks

PARAMETERS = (2.1e8, 1.1e9)
TOKENS = (4e9, 1e11)
TOKENS_PER_PARAMETER = (18, 470)


def step_law(parameters: float, tokens: float) -> _advice.Advice:
  """The peak rate and the batch for pre-training a language model with AdamW.

  Formula:
    learning_rate = 1.79 * parameters ** -0.713 * tokens ** 0.307
    batch_tokens = 0.58 * tokens ** 0.571

  Warns where the model or its data are outside of the runs it was fitted to: 0.21e9
  to 1.1e9 parameters, 4e9 to 100e9 tokens, and 18 to 470 tokens a parameter.

  Args:
    parameters: how many the model has, embeddings and output not counted, > 0.
    tokens: how many it is trained on, > 0.

  Returns:
    An `Advice` whose value is a dict: `learning_rate` is the peak, and
    `batch_tokens`, an int, the tokens in a batch.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Li et al., "Predictable Scale: Part I, Step Law", 2025. The mean of the 1,000
    bootstrap fits that they published gives the same figures. The range is that of
    their published runs of dense models. They train transformers with AdamW, a
    warmup of 2,000 steps and a cosine down to a fixed 1e-5.

  Example:
    >>> import lrax
    >>> law = lrax.scale.step_law(parameters=1e9, tokens=1e11)
    >>> f"{law.value['learning_rate']:.2e}", law.value['batch_tokens']
    ('1.63e-03', 1107715)
  """
  owner = 'step_law'
  parameters = float(_checks.positive(owner, 'parameters', parameters))
  tokens = float(_checks.positive(owner, 'tokens', tokens))
  rate = 1.79 * parameters**-0.713 * tokens**0.307
  batch = max(1, round(0.58 * tokens**0.571))
  outside = [
      f'{value:.3g} {noun} ({low:.3g} to {high:.3g})'
      for value, noun, (low, high) in (
          (parameters, 'parameters', PARAMETERS),
          (tokens, 'tokens', TOKENS),
          (tokens / parameters, 'tokens a parameter', TOKENS_PER_PARAMETER),
      )
      if not low <= value <= high
  ]
  caveat = (
      'A fit of one recipe: AdamW and a cosine down to 1e-5. With another schedule the'
      ' best rate need not grow with the data.'
  )
  if outside:
    beyond = 'This is outside of the runs it was fitted to: ' + ', '.join(outside) + '.'
    caveat = f'{beyond} {caveat}'
    warnings.warn(f'{owner}: {beyond}', stacklevel=2)
  return _advice.Advice(
      value={'learning_rate': rate, 'batch_tokens': batch},
      reason=(
          f'For {parameters:.3g} parameters and {tokens:.3g} tokens the peak rate is'
          f' {rate:.3g}, with {batch:,} tokens in a batch.'
      ),
      caveat=caveat,
      source=(
          'Li et al., "Predictable Scale: Part I, Step Law - Optimal Hyperparameter'
          ' Scaling Law in Large Language Model Pretraining", 2025 (arXiv 2503.04715)'
      ),
  )
