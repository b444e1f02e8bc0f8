"""A web page that shows an avatar."""
