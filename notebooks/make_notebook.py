"""Build the notebook from the script of the same name, and run it.

Edit the script: code cells begin at ``# %%``, text cells at ``# %% [markdown]``. Then run this from
any folder, with the development extras installed:

    python notebooks/make_notebook.py               (about five minutes on two cores)
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).parent
SCRIPT = HERE / "neural_style_transfer.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")


def convert(script: str) -> NotebookNode:
    """Convert a script with cells to a notebook without outputs."""
    pieces = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)[1:]
    notebook = new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for index, (marks, body) in enumerate(zip(pieces[::2], pieces[1::2], strict=True)):
        if "[markdown]" in marks:
            cell = new_markdown_cell(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE))
        else:
            cell = new_code_cell(body.strip())
            cell.metadata["tags"] = re.findall(r'"(\w+)"', marks)
        cell["id"] = f"cell-{index:02}"
        notebook.cells.append(cell)
    return notebook


def run(notebook: NotebookNode) -> NotebookNode:
    """Run all cells with this Python, and return the notebook with their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
    )
    executed: NotebookNode = client.execute()
    executed.metadata["language_info"] = {"name": "python"}
    return executed


if __name__ == "__main__":
    nbformat.write(run(convert(SCRIPT.read_text(encoding="utf-8"))), NOTEBOOK)
