"""How fast agents act and learn, at what cost in memory, and how soon they solve a task by the clock."""
