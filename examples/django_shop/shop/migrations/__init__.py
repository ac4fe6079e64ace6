"""The tables, and the goods in them."""
