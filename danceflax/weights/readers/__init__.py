"""Weight files of other frameworks to {name: array}, without the frameworks and running no code."""
