"""attnlab dashboard: run records in the browser. Reads files only and never talks to a training. No torch here."""
