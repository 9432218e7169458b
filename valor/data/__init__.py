"""Every file format of the project but the evidence store: tables, features, labels, predictions, parses."""
