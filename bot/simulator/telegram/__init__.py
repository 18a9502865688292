"""The Bot API as a server."""
