"""Files as schools have them into chapters of Markdown pages. `read.read` is the way in; a format is a module."""
