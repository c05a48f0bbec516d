"""Tables of TOML text: read, checked key by key, and explained in one line where they are wrong; nothing of any one
table."""
