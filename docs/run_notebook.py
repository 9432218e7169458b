"""Run the cells of docs/tutorial.ipynb, without Jupyter, and keep in it what they give: python docs/run_notebook.py."""

from generate.notebook import NOTEBOOK, run_notebook

if __name__ == "__main__":
    run_notebook(NOTEBOOK)
