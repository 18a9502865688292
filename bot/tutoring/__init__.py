"""What a tutor does beyond answering: everyday messages, commands, memory."""
