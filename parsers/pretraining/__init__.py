"""What a parser's stem and encoder can learn from clips without a label: one file a system, torch alone."""
