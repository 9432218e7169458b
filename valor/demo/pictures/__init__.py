"""What the classes of the demo world look like: a pen, the drawings by subject, and the places behind them."""
