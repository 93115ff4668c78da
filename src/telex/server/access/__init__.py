"""Who may come in, and what they may do: one file for each way of logging in, and for each way of writing rules."""
