"""Bool arrays -> events, counts, F-scores, tables and figures. Import names from its files: `from eval.scores import score`."""
