"""Features -> segment logits: the attentional hybrid parsers, their pooling and their losses. Needs torch alone."""
