"""The HTTP surface: webhooks, the chat page and its API, health."""
