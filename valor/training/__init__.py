"""Features and labels -> a run: recipes, the step, the loop, checkpoints, seeds, logs."""
