"""Bool arrays -> events, counts, F-scores, tables, figures. Import names: `from valor.eval.scores import score`."""
