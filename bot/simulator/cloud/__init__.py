"""Meta's WhatsApp Cloud API as a server, and the webhooks it signs."""
