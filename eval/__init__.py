"""Bool arrays -> events, counts, F-scores, tables, figures. Import names, as in `from eval.scores import score`."""
