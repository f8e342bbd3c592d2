"""The commands, one a module: flags and wiring. The scripts at the top level are these."""
