"""The README's code runs, and its commands are those that CI runs."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', README, re.DOTALL)


@pytest.mark.parametrize('index', range(len(BLOCKS)))
def test_python_blocks_run(index):
  exec(compile(BLOCKS[index], f'README block {index}', 'exec'), {})


def test_there_are_blocks():
  assert len(BLOCKS) >= 4


def test_first_example_has_about_ten_statements():
  lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
  code = [line for line in lines if not line.startswith(('import', 'from'))]
  assert len(code) <= 12


def test_the_two_commands_are_there():
  commands = re.findall(r'```sh\n(.*?)\n```', README, re.DOTALL)
  assert "python -m pip install -e '.[cli]' && lrax find digits" in commands
  assert "python -m pip install -e '.[test]' && python -m pytest" in commands


def test_links_and_figures_exist():
  for target in re.findall(r'\]\(([^)#]+)\)', README):
    if '://' not in target:
      assert (ROOT / target).is_file(), target


def test_ci_takes_its_command_from_the_readme():
  ci = (ROOT / '.ci' / 'run').read_text()
  pattern = re.search(r"grep -m 1 '([^']+)' README.md", ci)
  assert pattern is not None
  found = [line for line in README.splitlines() if re.search(pattern[1], line)]
  assert found[0] == "python -m pip install -e '.[test]' && python -m pytest"
