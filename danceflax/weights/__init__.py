"""Published weight files in, and this project's weights out; numpy only."""
