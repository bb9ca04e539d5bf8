"""The user's optimizer, as the code of a remedy writes it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
import inspect
from typing import Any

from lrax import _checks
from lrax import control
from lrax import optimizers
from lrax import schedules
from lrax.optimizers import _from_text


class Written:
  """An optimizer's name and arguments as code.

  Args:
    text: as 'sgd(momentum=0.9)'; None for adamw.

  Raises:
    TypeError: `text` is no string.
    ValueError: it is no optimizer of lrax that takes a rate, or refuses its
      arguments.
  """

  def __init__(self, text: Any):
    self.given = text is not None
    text = 'adamw' if text is None else text
    if not isinstance(text, str):
      raise _checks.refuse(
          'diagnose', 'optimizer', 'a text', text, "for example 'sgd(momentum=0.9)'",
          TypeError,
      )
    _from_text.optimizer(text, 'diagnose')
    node = ast.parse(text.strip(), mode='eval').body
    self.arguments: dict[str, str] = {}
    if isinstance(node, ast.Call):
      node.keywords = [_Named().visit(keyword) for keyword in node.keywords]
      self.arguments = {str(k.arg): ast.unparse(k.value) for k in node.keywords}
      node = node.func
    self.name = ast.unparse(node)

  def takes(self, argument: str) -> bool:
    """Whether the optimizer has such an argument."""
    return argument in inspect.signature(getattr(optimizers, self.name)).parameters

  def code(self, rate: str, changed: Mapping[str, str] | None = None) -> str:
    """The call that makes it, of a rate that is code too."""
    arguments = self.arguments | dict(changed or {})
    named = ''.join(f', {name}={value}' for name, value in arguments.items())
    return f'lrax.{self.name}({rate}{named})'


class _Named(ast.NodeTransformer):
  """Says of schedules where they are, so that `import lrax` is enough."""

  def visit_Call(self, node: ast.Call) -> ast.AST:
    self.generic_visit(node)
    name = ast.unparse(node.func)
    for family in (schedules, control):
      short = family.__name__.removeprefix('lrax.')
      if name in family.__all__:
        node.func = ast.parse(f'lrax.{short}.{name}', mode='eval').body
      elif name.startswith(f'{short}.'):
        node.func = ast.parse(f'lrax.{name}', mode='eval').body
    return node
