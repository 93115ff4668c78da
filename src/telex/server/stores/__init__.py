"""Where what must outlive the process is kept: one file a store."""
