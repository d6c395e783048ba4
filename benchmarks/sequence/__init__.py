"""``memory-bench sequence``: memory cores on sequences, the tasks of the papers behind them."""
