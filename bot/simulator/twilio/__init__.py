"""Twilio's Messages resource as a server, and the webhooks it signs."""
