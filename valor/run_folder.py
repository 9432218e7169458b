"""What lies in a run folder, by name."""

BEST, LAST = "best.safetensors", "last.safetensors"
"""The epoch that was selected, and the point a stopped run goes on from."""

LOG, RECIPE = "log.jsonl", "recipe.json"
"""One JSON object per epoch, and everything needed to build and run the parser."""

PREDICTIONS, SCORES = "predictions.npz", "scores.json"
"""Probabilities and scores of the test split, once it is scored; of a folder of seeds, their mean and deviation."""

PICTURE = "training.png"
"""Losses, validation scores and learning rate over the epochs."""
