"""Every notebook runs from its first cell to its last."""

from __future__ import annotations

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / 'notebooks').glob('*.ipynb'))


def test_there_are_notebooks():
  assert NOTEBOOKS


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', os.environ.get('JAX_PLATFORMS', 'cpu'))
  notebook = nbformat.read(path, as_version=4)
  client = nbclient.NotebookClient(
      notebook,
      timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(tmp_path)}},
  )
  client.execute()


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_opens_in_colab(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  code = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert 'pip install' in code[0].source and 'lrax' in code[0].source


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_shows_its_figures(path):
  notebook = nbformat.read(path, as_version=4)
  outputs = [o for cell in notebook.cells for o in cell.get('outputs', [])]
  assert any('image/png' in o.get('data', {}) for o in outputs)
  assert not any(o.output_type == 'error' for o in outputs)
