"""Predictions and truth -> scores, thresholds, comparisons and figures."""
