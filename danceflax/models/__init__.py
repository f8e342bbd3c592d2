"""Networks: flax modules, forward mathematics only."""
