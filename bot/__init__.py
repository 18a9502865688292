"""The service: channels in, screened and sourced answers out."""
