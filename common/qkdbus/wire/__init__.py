"""Messages: one .proto per boundary and the code generated from it (`make wire`)."""
