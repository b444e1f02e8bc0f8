"""An avatar: its surfels, how it is put together and how it is drawn."""
