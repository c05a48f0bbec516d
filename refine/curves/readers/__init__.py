"""Files of measured curves in."""
