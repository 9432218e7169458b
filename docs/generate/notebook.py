"""The notebook: run without Jupyter, and shown as a page with what its cells gave when they were last run.

cd docs && python -m generate.notebook tutorial.ipynb      # runs its cells and keeps what they give
"""

import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "tutorial.ipynb"
LONGEST = 60
"""Lines of what a cell gave that are shown."""
INTRO = (
    "*This page is the notebook `docs/tutorial.ipynb` with what it gave when it was last run; open it in Jupyter to "
    "run it yourself. A test runs its cells.*"
)


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook as JSON values."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def run_cell(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell as Jupyter does and give what it printed, and what its last line is worth."""
    body = ast.parse(source).body
    last = ast.Expression(body.pop().value) if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), namespace)  # noqa: S102, what a notebook is for
        if last is not None:
            value = eval(compile(last, "<cell>", "eval"), namespace)  # noqa: S307
    outputs = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(True)})
    if value is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": _shown(value)}
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """A value as Jupyter would show it: always as text, and as a picture or a table where it can be."""
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(True)}
    image = getattr(value, "png", None)
    if isinstance(image, bytes):
        data["image/png"] = base64.b64encode(_small(image)).decode("ascii")
    elif hasattr(value, "_repr_html_"):
        data["text/html"] = str(value._repr_html_()).splitlines(True)
    return data


def _small(image: bytes) -> bytes:
    """A PNG in 128 colours, which is a quarter of one in all."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture, io.BytesIO() as out:
        picture.convert("RGB").quantize(128).save(out, "PNG", optimize=True)
        return out.getvalue()


def pages() -> dict[str, str]:
    """The notebook as a page."""
    if not NOTEBOOK.is_file():
        return {}
    first, *cells = read_notebook(NOTEBOOK)["cells"]
    title, _, rest = source_of(first).partition("\n")
    parts = [title, INTRO, rest.strip()]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            parts.append(source_of(cell))
            continue
        parts.append(f"```python\n{source_of(cell)}\n```")
        parts += [_output(output) for output in cell["outputs"]]
    return {"tutorial.md": "\n\n".join(filter(None, parts)) + "\n"}


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _plain(output["text"])
    data = output["data"]
    if "image/png" in data:
        image = f'<img class="output" alt="The picture of the parse" src="data:image/png;base64,{data["image/png"]}">'
        return f"```{{raw}} html\n{image}\n```"
    if "text/html" in data:
        return f'```{{raw}} html\n<div class="output">{"".join(data["text/html"])}</div>\n```'
    return _plain(data["text/plain"])


def _plain(lines: list[str]) -> str:
    shown = "".join(lines[:LONGEST]) + ("..." if len(lines) > LONGEST else "")
    return f"```{{code-block}} text\n:class: output\n\n{shown.rstrip()}\n```"


def run_notebook(path: Path) -> None:
    """Run all cells in an empty folder and keep what they give in the notebook."""
    notebook = read_notebook(path)
    namespace: dict[str, Any] = {"__name__": "notebook"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), start=1):
            cell["outputs"], cell["execution_count"] = run_cell(source_of(cell), namespace), number
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text.replace(os.path.realpath(folder), "."), encoding="utf-8")
