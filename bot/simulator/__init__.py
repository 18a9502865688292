"""The providers, played on this machine: Telegram, Twilio and WhatsApp Cloud, with their rules and their faults.

It shares no code with the channels that talk to it, so that a mistake cannot be made on both sides alike.
"""
