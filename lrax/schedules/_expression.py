"""Expressions in Python's syntax, read from a text and never run as code.

The text becomes Python's syntax tree, and the tree is walked. A number, a word,
a list, arithmetic of numbers, and calls of the functions and methods that the
caller lists have a meaning; anything else is refused before it can do anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from collections.abc import Mapping
import difflib
import math
import operator
from typing import Any

from lrax import _checks
from lrax import _policy

# No expression that a person writes is longer or deeper, and no number of a
# schedule is larger than the largest float32.
_MOST_CHARACTERS = 10_000
_MOST_LEVELS = 50
_LARGEST = 3.4028234e38

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_OF_SCHEDULES = (ast.Add, ast.Mult)


class Expression:
  """One text, for an owner whose argument is called `argument`.

  Args:
    owner: who asks, for the messages.
    argument: what the owner calls the text.
    text: the expression.
    functions: what may be called, by name; a name may have dots.
    methods: what may be called on a schedule, by name; takes it first.

  Raises:
    TypeError: the text is no string.
    ValueError: it is no expression, or too long or too deep.
  """

  def __init__(
      self,
      owner: str,
      argument: str,
      text: Any,
      functions: Mapping[str, Callable[..., Any]],
      methods: Mapping[str, Callable[..., Any]],
  ):
    self.owner, self.argument = owner, argument
    self.functions, self.methods = functions, methods
    if not isinstance(text, str):
      raise _checks.refuse(
          owner, argument, 'a string', text,
          'write the call that makes it', TypeError,
      )
    if len(text) > _MOST_CHARACTERS:
      raise self._error(
          f'at most {_MOST_CHARACTERS} characters', len(text), 'say it in fewer'
      )
    self.text = text.rstrip().lstrip(' \t')
    self._indent = len(text) - len(text.lstrip(' \t'))
    self.node = self._parse()
    self._refuse_depth()

  def read(self, node: ast.AST) -> Any:
    """What a part of the tree stands for.

    Raises:
      TypeError: a function refuses its arguments.
      ValueError: it does, or the part is nothing that is allowed.
    """
    match node:
      case ast.Constant(value=bool() | None | str()):
        return node.value
      case ast.Constant(value=int() | float()):
        return self._number(node, node.value)
      case ast.List(elts=parts) | ast.Tuple(elts=parts):
        return [self.read(part) for part in parts]
      case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
        return self._sign(node)
      case ast.BinOp():
        return self._combine(node)
      case ast.Call():
        return self._call(node)
      case ast.Name() | ast.Attribute() if _dotted(node) in self.functions:
        raise self.refuse(node, 'made of calls', 'write its arguments in brackets')
    raise self.refuse(
        node, 'made of calls, numbers, words and lists',
        'nothing else has a meaning here',
    )

  def arguments(self, call: ast.Call) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, by position and by name."""
    named = {}
    for keyword in call.keywords:
      if keyword.arg is None or keyword.arg in named:
        raise self.refuse(
            keyword, 'made of calls that name each argument once',
            'write the arguments out',
        )
      named[keyword.arg] = self.read(keyword.value)
    return [self.read(argument) for argument in call.args], named

  def refuse(self, node: ast.AST, rule: str, advice: str) -> ValueError:
    """The error about a part of the text; it says where the part is."""
    piece = ast.get_source_segment(self.text, node) or ''
    line: Any = getattr(node, 'lineno', 1)
    column: Any = getattr(node, 'col_offset', 0)
    before = self.text.split('\n')[line - 1].encode()[:column].decode()
    return self._error(rule, piece, advice, self._place(line, len(before)))

  def _place(self, line: int, column: int) -> str:
    where = f' at character {column + 1 + (self._indent if line == 1 else 0)}'
    return where + (f' of line {line}' if '\n' in self.text else '')

  def _error(self, rule: str, value: Any, advice: str, where: str = '') -> ValueError:
    if isinstance(value, str) and len(value) > 60:
      value = value[:57] + '...'
    return ValueError(
        f'{self.owner}: `{self.argument}` must be {rule}, got {value!r}{where};'
        f' {advice}.'
    )

  def _parse(self) -> ast.expr:
    try:
      return ast.parse(self.text, mode='eval').body
    except SyntaxError as error:
      where = self._place(error.lineno or 1, max(error.offset or 1, 1) - 1)
      advice = f'{error.msg}'
    except (ValueError, RecursionError, MemoryError) as error:
      where, advice = '', f'{error}' or 'it is too deep'
    raise self._error('an expression', self.text, advice, where)

  def _refuse_depth(self) -> None:
    level: list[ast.AST] = [self.node]
    for _ in range(_MOST_LEVELS):
      level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
      raise self._error(
          f'at most {_MOST_LEVELS} levels deep', self.text,
          'split it, and join the parts with Python',
      )

  def _number(self, node: ast.AST, value: Any) -> Any:
    if isinstance(value, (int, float)) and abs(value) <= _LARGEST:
      return value
    raise self.refuse(
        node, 'made of real numbers that a float32 holds', 'they end at 3.4e38'
    )

  def _sign(self, node: ast.UnaryOp) -> Any:
    value = self.read(node.operand)
    if not _is_number(value):
      raise self.refuse(
          node, 'made of signs before numbers only', 'a rate is never negative'
      )
    return -value if isinstance(node.op, ast.USub) else value

  def _combine(self, node: ast.BinOp) -> Any:
    left, right = self.read(node.left), self.read(node.right)
    function: Any = _OPERATORS.get(type(node.op))
    if function and _is_number(left) and _is_number(right):
      try:
        value = function(float(left), right)  # overflows before an int is huge
        if isinstance(left, int) and abs(value) <= _LARGEST:
          value = function(left, right)
      except ArithmeticError:
        value = math.inf
      return self._number(node, value)
    allowed = isinstance(node.op, _OF_SCHEDULES)
    if allowed and all(_is_number(x) or _is_schedule(x) for x in (left, right)):
      return function(left, right)
    raise self.refuse(
        node, 'of schedules and numbers combined by * and +',
        "for example '0.5 * constant(0.1)'",
    )

  def _call(self, node: ast.Call) -> Any:
    name = _dotted(node.func)
    if name is not None and name in self.functions:
      args, named = self.arguments(node)
      return self.functions[name](*args, **named)
    if name is None and isinstance(node.func, ast.Attribute):
      return self._call_method(node, node.func)
    raise self.refuse(
        node.func, "made of calls of lrax's schedules",
        _hint(name, self.functions) or 'no other function is known',
    )

  def _call_method(self, node: ast.Call, method: ast.Attribute) -> Any:
    schedule = self.read(method.value)
    if not _is_schedule(schedule):
      raise self.refuse(
          method.value, 'a schedule where a method is called',
          'write a number as constant(number)',
      )
    if method.attr not in self.methods:
      raise self.refuse(
          method, "made of calls of a schedule's methods",
          _hint(method.attr, self.methods)
          or 'the methods are ' + ', '.join(self.methods),
      )
    args, named = self.arguments(node)
    return self.methods[method.attr](schedule, *args, **named)


def _dotted(node: ast.AST) -> str | None:
  """`lrax.schedules.linear` as a text; None where it is no such name."""
  names = []
  while isinstance(node, ast.Attribute):
    names.append(node.attr)
    node = node.value
  return '.'.join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def _hint(name: str | None, known: Mapping[str, Any]) -> str:
  close = difflib.get_close_matches(name or '', known, 1)
  return f"did you mean '{close[0]}'" if close else ''


def _is_number(value: Any) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_schedule(value: Any) -> bool:
  return isinstance(value, _policy.Schedule)
