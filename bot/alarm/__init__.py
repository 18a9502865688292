"""The alarm: adults are told of a child in distress, by e-mail or Telegram, until one of them looks after it."""
