"""Tests of memory_agents.benchmarks.sequence."""
