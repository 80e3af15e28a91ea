"""One file a section: run -> title, finding, body."""
