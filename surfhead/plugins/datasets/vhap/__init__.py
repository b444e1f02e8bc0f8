"""VHAP exports: read and written."""
